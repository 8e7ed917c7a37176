"""Find the run of each set at the commit that is checked out, and the sets without one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.project import read_git_state
from evalkit.core.source_files import display_path
from evalkit.evalset.project import Project
from evalkit.evalset.set_files import find_sets
from evalkit.store.runs import list_set_runs, read_header


class CurrentRuns(NamedTuple):
    """The folders of runs, and for each set without one its name and the reason, as `NAME: REASON`."""

    folders: tuple[str, ...]
    missing: tuple[str, ...]


def find_current_runs(paths: Sequence[Path], context: Context) -> CurrentRuns:
    """Return the newest run of each set that files, folders, and patterns name.

    Only runs of the commit that is checked out count: a folder that a build keeps may have older ones.
    Where no set is found, that is the reason.
    """
    try:
        sets = find_sets(paths).sets
    except InvalidInput as error:
        name = " ".join(display_path(path) for path in paths)
        return CurrentRuns((), (f"{name}: {error}",))
    folders, missing = [], []
    for path in sets:
        found = _find_run(path, context)
        if found is None:
            name = display_path(path)
            missing.append(f"{name}: it has no run of this commit. Read the log of its step.")
        else:
            folders.append(str(found))
    return CurrentRuns(tuple(folders), tuple(missing))


def _find_run(path: Path, context: Context) -> Path | None:
    project = Project.open(context, path)
    commit = read_git_state(project.root, context.environ).commit
    for folder in list_set_runs(project.root, project.relative(path)):
        header = read_header(folder)
        if header.git_commit == commit and header.command in ("run", "score"):
            return folder
    return None
