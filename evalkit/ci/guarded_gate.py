"""Open the gate of a change, and check around the run that nothing it relies on was prepared or replaced."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.ci.base import BaseGate, GateChoice, open_base_gate
from evalkit.ci.startup_files import find_startup_files, find_startup_warnings
from evalkit.ci.store_review import StoreTerms, review_store
from evalkit.core.context import Context
from evalkit.core.errors import StoreError
from evalkit.core.file_marks import FileMark, mark_file, mark_files
from evalkit.core.files import path_exists
from evalkit.core.source_files import display_path
from evalkit.evalset.project import Project
from evalkit.store.baseline import baseline_path
from evalkit.store.runs import SUMMARY_FILE, list_run_ids, runs_folder

CODE_SUFFIXES = (".py", ".so", ".pth", ".yaml", ".yml")
"""New files with these suffixes among the base's files could replace one of them."""

Marks = Mapping[str, FileMark]
"""The marks of files by path; a store can have so many that objects for their paths take time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Watched:
    """Files that must not change during a run: how to mark them, and why they matter."""

    mark: Callable[[], Marks]
    reason: str


@contextmanager
def open_guarded_gate(
    path: Path,
    choice: GateChoice | None,
    project: Project,
    context: Context,
    *,
    own_run: str | None = None,
) -> Iterator[BaseGate]:
    """Yield the gate as `open_base_gate` does; without a choice, check nothing.

    While it is open, the baseline, the files of the base, finished runs other than `own_run`, and what
    Python runs at its start must not change.

    Raises:
        ApprovalNeeded: the change could have prepared the store or the baseline.
        StoreError: the code under test has changed what the result depends on.
    """
    with open_base_gate(path, choice, project, context) as gate:
        if choice is None:
            yield gate
            return
        evalset, _ = project.load(path)
        own = baseline_path(project.root / project.relative(path), evalset.name)
        terms = StoreTerms(folder=choice.store, base=gate.base, accept=choice.accept)
        review_store(path, own, terms, project, context)
        for warning in find_startup_warnings(project):
            context.say(f"warning: {warning}")
        watched = [
            _Watched(
                mark=lambda: {str(path): m for path, m in find_startup_files(project).items()},
                reason="Python runs it whenever it starts",
            ),
            _Watched(mark=lambda: _mark_file(own), reason="it is the baseline"),
            *_watch_finished_runs(project.root, own_run),
        ]
        if gate.base_version:
            watched.append(_watch_base(gate.base_version.root))
        before = [each.mark() for each in watched]
        yield replace(gate, acceptance=choice.acceptance)
        for each, marks in zip(watched, before, strict=True):
            _refuse_changes(marks, each)


def _refuse_changes(before: Marks, watched: _Watched) -> None:
    now = watched.mark()
    changed = sorted(path for path in {**before, **now} if before.get(path) != now.get(path))
    if changed:
        more = f" (and {len(changed) - 1:,} more)" if len(changed) > 1 else ""
        raise StoreError(
            f"{display_path(Path(changed[0]))}{more}: changed during the run by something else than evalkit. "
            f"Since {watched.reason}, the result cannot be trusted. Restore it, keep the agent away "
            f"from it, and run again."
        )


def _mark_file(path: Path) -> Marks:
    mark = mark_file(path)
    return {str(path): mark} if mark else {}


def _watch_finished_runs(root: Path, own_run: str | None) -> Iterator[_Watched]:
    """Yield the finished runs, of which any could become a baseline or be gated again."""
    folder = runs_folder(root)
    finished: set[str] = set()
    # A store that cannot be read is reported by what needs it.
    with suppress(StoreError):
        finished |= {
            run_id
            for run_id in list_run_ids(root)
            if path_exists(folder / run_id / SUMMARY_FILE)
            and not (own_run and run_id.startswith(own_run))
        }

    def mark() -> Marks:
        return {
            f"{folder}{os.sep}{name}": mark
            for name, mark in mark_files(folder).items()
            if name.partition(os.sep)[0] in finished
        }

    if finished:
        yield _Watched(mark=mark, reason="it belongs to a finished run")


def _watch_base(root: Path) -> _Watched:
    """Return the base's files, and new ones that could replace one of them; not what a plugin caches.

    A folder that was moved away and back has the same files as before. So the folders count as well,
    unless they only have more in them.
    """
    known = mark_files(root)
    known_folders = _list_folders(root)

    def mark() -> Marks:
        found = {
            f"{root}{os.sep}{name}": mark
            for name, mark in mark_files(root).items()
            if name in known or name.endswith(CODE_SUFFIXES)
        }
        now = _list_folders(root)
        for path in known_folders.keys() & now.keys():
            (old, old_names), (new, names) = known_folders[path], now[path]
            has_grown = names > old_names and new[:2] == old[:2]
            found[path] = old if has_grown else new
        return found

    return _Watched(mark=mark, reason="it is a file of the base")


def _list_folders(root: Path) -> Mapping[str, tuple[FileMark, frozenset[str]]]:
    """Return the marks of a folder, of the one that it is in, and of all below, with their entries."""
    listed = [(path, [*folders, *files]) for path, folders, files in os.walk(root)]
    listed.append((str(root.parent), [each.name for each in root.parent.iterdir()]))
    return {
        path: (mark, frozenset(names)) for path, names in listed if (mark := mark_file(Path(path)))
    }
