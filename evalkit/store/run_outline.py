"""Read of a stored run only what a list shows, so that a thousand runs are listed at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from evalkit.core.errors import StoreError
from evalkit.core.files import path_exists, read_stored_file
from evalkit.core.literals import RunCommand
from evalkit.core.serialization import parse_stored_record
from evalkit.store.run_lock import is_locked
from evalkit.store.runs import HEADER_FILE, SUMMARY_FILE

RunState: TypeAlias = Literal["finished", "running", "unfinished", "unreadable"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOutline:
    """A stored run without its trials.

    A `running` run is being written by a process; an `unfinished` one can be resumed. Of an `unreadable`
    run only the id is known, and `problem` says why. `created` is ISO 8601 in UTC. `cost_usd` is what agent
    and judges have cost; None if nothing reports it, and while a run is not finished. `errors` counts the
    trials of a finished run that have no score.
    """

    id: str
    state: RunState
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
    errors: int = 0
    cost_usd: float | None = None
    problem: str = ""

    @property
    def is_gated(self) -> bool:
        """Whether the run can have a gate result: shards and runs that only ask have none."""
        return self.state == "finished" and not self.shard and self.command != "ask"

    @property
    def is_complete_shard(self) -> bool:
        """Whether the run is a shard that `merge` can take as it is."""
        return self.state == "finished" and bool(self.shard) and not self.errors


_Extended = TypeVar("_Extended", bound=RunOutline)


def extend_outline(outline: RunOutline, kind: type[_Extended], **more: Any) -> _Extended:
    """Return an outline as a record of a subclass, with the values of its further fields."""
    return kind(**{each.name: getattr(outline, each.name) for each in fields(RunOutline)}, **more)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Case:
    id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Header:
    evalset: str
    evalset_path: str
    cases: tuple[_Case, ...]
    trials: int
    agent_entrypoint: str
    agent_version: str
    created: str
    selection: str = ""
    shard: str = ""
    command: RunCommand = "run"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    errors: Mapping[str, int] = field(default_factory=dict)
    cost_usd: float | None = None
    judge_cost_usd: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Summary:
    row: _Row = field(default_factory=_Row)


def read_run_outline(folder: Path) -> RunOutline:
    """Read the outline of a run; whatever is wrong with the run is in its `problem`."""
    try:
        header = parse_stored_record(read_stored_file(folder / HEADER_FILE), _Header)
        path = folder / SUMMARY_FILE
        finished = path_exists(path)
        row = parse_stored_record(read_stored_file(path), _Summary).row if finished else _Row()
    except StoreError as error:
        return RunOutline(id=folder.name, state="unreadable", problem=str(error))
    except ValueError as error:
        problem = f"{folder}: not a run: {error}."
        return RunOutline(id=folder.name, state="unreadable", problem=problem)
    costs = [cost for cost in (row.cost_usd, row.judge_cost_usd) if cost is not None]
    return RunOutline(
        id=folder.name,
        state="finished" if finished else "running" if is_locked(folder) else "unfinished",
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
        errors=sum(row.errors.values()),
        cost_usd=sum(costs) if costs else None,
    )
