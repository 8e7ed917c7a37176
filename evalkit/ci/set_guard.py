"""Find out whether an eval set is still what it was when all sets of a command were checked."""

from __future__ import annotations

import os
from pathlib import Path

from evalkit.ci.gate_changes import GateDefinition
from evalkit.ci.gate_files import SearchFolders, digest_files
from evalkit.core.context import Context
from evalkit.core.errors import StoreError
from evalkit.core.files import hash_stored_file, path_exists
from evalkit.core.source_files import display_path
from evalkit.evalset.project import Project
from evalkit.store.baseline import baseline_path


def define_set(path: Path, context: Context) -> GateDefinition:
    """Return what decides a run of a set: the set, the files that it names, and its baseline."""
    project = Project.open(context, path)
    evalset, _ = project.load(path)
    baseline = baseline_path(path, evalset.name)
    folders = SearchFolders(base=Path(os.path.realpath(path.parent)), root=project.root)
    return GateDefinition(
        evalset=evalset,
        files=digest_files(evalset, folders),
        baseline=_digest_baseline(baseline),
    )


def _digest_baseline(path: Path) -> str:
    """Return the digest of a baseline, or why it cannot be read, which its own run reports."""
    try:
        return hash_stored_file(path) if path_exists(path) else ""
    except StoreError as error:
        return str(error)


def refuse_changed_set(path: Path, checked: GateDefinition, context: Context) -> None:
    """Refuse a set that has changed since it was checked: an agent of another set may have done it.

    Raises:
        StoreError: the set, a file that it names, or its baseline has changed.
    """
    if define_set(path, context) != checked:
        raise StoreError(
            f"{display_path(path)}: the set, a file that it names, or its baseline changed while the sets "
            f"before it ran. Restore it, keep agents away from it, and run it again."
        )
