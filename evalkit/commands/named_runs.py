"""Find the runs that a command names: each by itself, all of the last command, or those of a folder's sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.files import path_exists
from evalkit.core.location import Problem
from evalkit.core.source_files import names_several
from evalkit.evalset.project import Project
from evalkit.evalset.set_files import find_sets
from evalkit.runner.cache_trust import read_store_key
from evalkit.store.batches import BatchEntry
from evalkit.store.last_command import find_last_command
from evalkit.store.refs import find_run_folder
from evalkit.store.runs import HEADER_FILE, runs_folder
from evalkit.store.seal import Seal


def find_named_runs(refs: Sequence[str], context: Context) -> tuple[BatchEntry, ...]:
    """Return the runs that `refs` name, each once, and the sets that have none.

    `latest` names every set of the last command. A folder, or a pattern, names the last run of each set in it.

    Raises:
        InvalidInput: every name that no run, or more than one, has.
        StoreError: what the last command ran cannot be read.
    """
    project = Project.open(context)
    seal = Seal(read_store_key(context.environ))
    problems: list[Problem] = []
    found: dict[str, BatchEntry] = {}
    for ref in refs:
        try:
            for entry in _find(ref, project, seal):
                found.setdefault(entry.run_id or f"{entry.path}:{entry.label}", entry)
        except InvalidInput as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise InvalidInput(problems)
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
