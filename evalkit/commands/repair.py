"""`evalkit repair`: rewrite a stored run without the lines that cannot be read."""

from __future__ import annotations

from evalkit.core.context import Context
from evalkit.evalset.project import Project
from evalkit.report.next_steps import CommandHints
from evalkit.store.refs import find_run_folder
from evalkit.store.runs import TRIALS_FILE, read_run, repair_run


def repair(ref: str, context: Context) -> str:
    """Repair a run and return a summary of what was kept.

    Raises:
        InvalidInput: no such run, or another process is writing it.
        StoreError: its header cannot be read.
    """
    project = Project.open(context)
    folder = find_run_folder(ref, project.root)
    kept, dropped = repair_run(folder)
    if not dropped:
        return f"run {folder.name}: nothing to repair, {kept} trials are readable\n"
    return (
        f"run {folder.name}: kept {kept} trials, dropped {dropped} unreadable lines. "
        f"The original file: {folder / TRIALS_FILE}.broken\n"
        f"Continue it with: {CommandHints.of(project).resume(read_run(folder))}\n"
    )
