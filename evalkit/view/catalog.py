"""List the stored runs with what a list shows of them. A run is read again only if its files changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from evalkit.core.errors import StoreError
from evalkit.core.file_marks import FileMark, mark_file
from evalkit.core.files import path_exists, read_stored_file
from evalkit.core.literals import RunCommand
from evalkit.core.serialization import parse_stored_record
from evalkit.store.gate_results import GATE_RESULT_FILE
from evalkit.store.run_lock import is_locked
from evalkit.store.runs import (
    HEADER_FILE,
    SUMMARY_FILE,
    list_start_times,
    runs_folder,
)

MAX_RUNS = 5_000
"""The newest runs to list. A list of more could not be read in a second, or held in little memory."""

_MARKED_FILES = (HEADER_FILE, SUMMARY_FILE, GATE_RESULT_FILE)

Marks: TypeAlias = tuple[FileMark | None, ...]
"""The marks of the files of a run that a list shows something of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRun:
    """What a list shows of a run.

    `problem` says why the run cannot be read; only `id` is known then. `is_alive` is set while a
    process writes the run. `marks` identify the content of its files.
    """

    id: str
    folder: Path
    marks: Marks = ()
    evalset: str = ""
    evalset_path: str = ""
    version: str = ""
    agent: str = ""
    created: str = ""
    command: RunCommand = "run"
    selection: str = ""
    shard: str = ""
    cases: int = 0
    trials: int = 0
    cost_usd: float | None = None
    finished: bool = False
    is_alive: bool = False
    problem: str = ""

    @property
    def is_decided(self) -> bool:
        """Whether the run can have a gate result: a shard and mere answers have none."""
        return self.finished and not self.shard and self.command != "ask"


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The listed runs, newest first; `left_out` older ones are not listed."""

    runs: tuple[StoredRun, ...] = ()
    left_out: int = 0

    def of_set(self, evalset_path: str) -> tuple[StoredRun, ...]:
        """Return the runs of a set, newest first."""
        return tuple(run for run in self.runs if run.evalset_path == evalset_path)

    def find(self, run_id: str) -> StoredRun | None:
        """Return the run with an id."""
        return next((run for run in self.runs if run.id == run_id), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class _CaseOutline:
    id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _HeaderOutline:
    """What a list shows of a header."""

    evalset: str
    evalset_path: str
    cases: tuple[_CaseOutline, ...]
    trials: int
    agent_entrypoint: str
    agent_version: str
    created: str
    selection: str = ""
    shard: str = ""
    command: RunCommand = "run"


@dataclass(frozen=True, kw_only=True, slots=True)
class _RowOutline:
    """What a list shows of the row in a summary."""

    cost_usd: float | None = None
    judge_cost_usd: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _SummaryOutline:
    row: _RowOutline = field(default_factory=_RowOutline)


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
            known = _read_outline(folder, marks)
        if known.finished or known.problem:
            return known
        # The process of an unfinished run may have ended, or have been started again.
        alive = is_locked(folder)
        return known if alive == known.is_alive else replace(known, is_alive=alive)


def _read_outline(folder: Path, marks: Marks) -> StoredRun:
    path, summary = folder / HEADER_FILE, folder / SUMMARY_FILE
    try:
        header = parse_stored_record(read_stored_file(path), _HeaderOutline)
        finished = path_exists(summary)
        row = _read_row(summary) if finished else _RowOutline()
    except ValueError as error:
        problem = f"{path}: not a run: {error}. Delete its folder."
        return StoredRun(id=folder.name, folder=folder, marks=marks, problem=problem)
    except StoreError as error:
        return StoredRun(id=folder.name, folder=folder, marks=marks, problem=str(error))
    costs = [cost for cost in (row.cost_usd, row.judge_cost_usd) if cost is not None]
    return StoredRun(
        id=folder.name,
        folder=folder,
        marks=marks,
        evalset=header.evalset,
        evalset_path=header.evalset_path,
        version=header.agent_version,
        agent=header.agent_entrypoint,
        created=header.created,
        command=header.command,
        selection=header.selection,
        shard=header.shard,
        cases=len(header.cases),
        trials=header.trials,
        cost_usd=sum(costs) if costs else None,
        finished=finished,
    )


def _read_row(path: Path) -> _RowOutline:
    try:
        return parse_stored_record(read_stored_file(path), _SummaryOutline).row
    except ValueError:
        return _RowOutline()  # reading the run in full reports the problem
