"""Find the runs that a command names: each by itself, all of the last command, or those of sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput, StoreError
from evalkit.core.files import path_exists
from evalkit.core.location import Problem
from evalkit.core.project import read_git_state
from evalkit.core.source_files import display_path, names_several
from evalkit.evalset.project import Project
from evalkit.evalset.set_files import find_sets
from evalkit.runner.cache_trust import read_store_key
from evalkit.store.batches import BatchEntry
from evalkit.store.last_command import find_last_command
from evalkit.store.refs import find_run_folder
from evalkit.store.runs import HEADER_FILE, list_set_runs, read_header, runs_folder
from evalkit.store.seal import Seal


def find_named_runs(
    refs: Sequence[str], context: Context, sets: Sequence[Path] = ()
) -> tuple[BatchEntry, ...]:
    """Return the runs that `refs` name, each once, and the sets that have none.

    `latest` names every set of the last command. A folder, or a pattern, names the last run of each set in it.
    `sets` are files, folders, and patterns whose last runs count only if they are of the commit that is
    checked out: a folder that a build keeps may have older ones. Where no set is found, that is the reason.

    Raises:
        InvalidInput: every name that no run, or more than one, has.
        StoreError: what the last command ran cannot be read.
    """
    project = Project.open(context)
    seal = Seal(read_store_key(context.environ))
    problems: list[Problem] = []
    found: dict[str, BatchEntry] = {}

    def add(entry: BatchEntry) -> None:
        found.setdefault(entry.run_id or f"{entry.path}:{entry.label}", entry)

    for ref in refs:
        try:
            for entry in _find(ref, project, seal):
                add(entry)
        except InvalidInput as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise InvalidInput(problems)
    for entry in _find_current_runs(sets, project, seal, context) if sets else ():
        add(entry)
    return tuple(found.values())


def _find(ref: str, project: Project, seal: Seal) -> Iterator[BatchEntry]:
    path = project.cwd / ref
    if ref == "latest":
        yield from find_last_command(project.root, seal=seal)
    elif ref == "baseline" or path.suffix == ".jsonl":
        yield _name_run(ref)
    elif path_exists(path / HEADER_FILE):
        folder = path.resolve()
        is_stored = folder.parent == runs_folder(project.root)
        yield _name_run(folder.name if is_stored else str(path))
    elif names_several(path):
        for each in find_sets([path]).sets:
            yield _find_last_run(project.relative(each), project, seal)
    else:
        yield _name_run(find_run_folder(ref, project.root).name)


def _name_run(ref: str) -> BatchEntry:
    return BatchEntry(label=ref, path="", run_id=ref, state="decided", problem="")


def _find_last_run(evalset_path: str, project: Project, seal: Seal) -> BatchEntry:
    try:
        return find_last_command(project.root, evalset_path, seal)[0]
    except InvalidInput as error:
        return BatchEntry(
            label=evalset_path, path=evalset_path, state="stopped", problem=str(error)
        )


def _find_current_runs(
    paths: Sequence[Path], project: Project, seal: Seal, context: Context
) -> Iterator[BatchEntry]:
    """Yield the last run of each set, if that is of the commit that is checked out, or why there is none."""
    try:
        sets = find_sets(paths).sets
    except InvalidInput as error:
        name = " ".join(map(display_path, paths))
        yield BatchEntry(label=name, path="", state="stopped", problem=str(error))
        return
    for path in sets:
        yield _find_current_run(path, project, seal, context)


def _find_current_run(path: Path, project: Project, seal: Seal, context: Context) -> BatchEntry:
    own = Project.open(context, path)
    label, evalset_path = display_path(path), own.relative(path)
    missing = BatchEntry(
        label=label,
        path=evalset_path,
        state="stopped",
        problem="it has no run of this commit. Read the log of its step.",
    )
    try:
        last = find_last_command(own.root, evalset_path, seal)[0]
    except InvalidInput:
        return missing
    except StoreError as error:
        return replace(missing, problem=str(error))
    if not last.has_run:
        return replace(last, label=label)
    commit = read_git_state(own.root, context.environ).commit
    for folder in list_set_runs(own.root, evalset_path):
        header = read_header(folder)
        if header.git_commit == commit and header.command in ("run", "score"):
            return _name_run(folder.name if own.root == project.root else str(folder))
    return missing
