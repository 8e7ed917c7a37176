"""List the stored runs with what a list shows of them. A run is read again only if its files changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from evalkit.core.file_marks import FileMark, mark_file
from evalkit.store.gate_results import GATE_RESULT_FILE
from evalkit.store.run_lock import is_locked
from evalkit.store.run_outline import RunOutline, extend_outline, read_run_outline
from evalkit.store.runs import HEADER_FILE, SUMMARY_FILE, list_start_times, runs_folder

MAX_RUNS = 5_000
"""The newest runs to list. A list of more could not be read in a second, or held in little memory."""

_MARKED_FILES = (HEADER_FILE, SUMMARY_FILE, GATE_RESULT_FILE)

Marks: TypeAlias = tuple[FileMark | None, ...]
"""The marks of the files of a run that a list shows something of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRun(RunOutline):
    """A run in a store; `marks` identify the content of its files."""

    folder: Path
    marks: Marks = ()

    @property
    def finished(self) -> bool:
        """Whether the run is complete."""
        return self.state == "finished"

    @property
    def is_alive(self) -> bool:
        """Whether a process writes the run now."""
        return self.state == "running"


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The listed runs, newest first; `left_out` older ones are not listed."""

    runs: tuple[StoredRun, ...] = ()
    left_out: int = 0

    def of_set(self, evalset_path: str) -> tuple[StoredRun, ...]:
        """Return the runs of a set, newest first."""
        return tuple(run for run in self.runs if run.evalset_path == evalset_path)


class Catalog:
    """The runs of a store."""

    def __init__(self, root: Path) -> None:
        self._folder = runs_folder(root)
        self._root = root
        self._known: Mapping[str, StoredRun] = {}

    def read(self) -> Listing:
        """Return the runs as they are now.

        Raises:
            StoreError: the folder of runs cannot be read.
        """
        newest = sorted(list_start_times(self._root), reverse=True)
        runs = [self._read_run(name) for _, name in newest[:MAX_RUNS]]
        self._known = {run.id: run for run in runs}
        return Listing(runs=tuple(runs), left_out=max(0, len(newest) - MAX_RUNS))

    def _read_run(self, name: str) -> StoredRun:
        folder = self._folder / name
        marks = tuple(mark_file(folder / each) for each in _MARKED_FILES)
        known = self._known.get(name)
        if known is None or known.marks != marks:
            outline = read_run_outline(folder)
            return extend_outline(outline, StoredRun, folder=folder, marks=marks)
        if known.state not in ("running", "unfinished"):
            return known
        # The process of an unfinished run may have ended, or have been started again.
        alive = is_locked(folder)
        return known if alive == known.is_alive else _with_life(known, alive)


def _with_life(run: StoredRun, is_alive: bool) -> StoredRun:
    return replace(run, state="running" if is_alive else "unfinished")
