"""`evalkit repair`: a stored run without the lines that cannot be read."""

from __future__ import annotations

from evalkit.project import find_root
from evalkit.refs import find_run_folder
from evalkit.store import TRIALS_FILE, repair_run
from evalkit.world import World


def repair(ref: str, world: World) -> str:
    """Repair a run and say what was kept.

    Raises:
        InvalidInput: no such run.
        StoreError: even its header cannot be read.
    """
    folder = find_run_folder(ref, find_root(world.cwd, world.cwd))
    kept, dropped = repair_run(folder)
    if not dropped:
        return f"run {folder.name}: nothing to repair, {kept} trials are readable\n"
    return (
        f"run {folder.name}: kept {kept} trials, dropped {dropped} unreadable lines. "
        f"The file as it was: {folder / TRIALS_FILE}.broken\n"
        f"Run the missing trials with --resume --run-id {folder.name}\n"
    )
