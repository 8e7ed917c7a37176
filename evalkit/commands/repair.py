"""`evalkit repair`: a stored run without the lines that cannot be read."""

from __future__ import annotations

from evalkit.core.context import Context
from evalkit.core.project import find_project_root
from evalkit.store.refs import find_run_folder
from evalkit.store.runs import TRIALS_FILE, repair_run


def repair(ref: str, world: Context) -> str:
    """Repair a run and say what was kept.

    Raises:
        InvalidInput: no such run.
        StoreError: even its header cannot be read.
    """
    folder = find_run_folder(ref, find_project_root(world.cwd, world.cwd))
    kept, dropped = repair_run(folder)
    if not dropped:
        return f"run {folder.name}: nothing to repair, {kept} trials are readable\n"
    return (
        f"run {folder.name}: kept {kept} trials, dropped {dropped} unreadable lines. "
        f"The file as it was: {folder / TRIALS_FILE}.broken\n"
        f"Run the missing trials with --resume --run-id {folder.name}\n"
    )
