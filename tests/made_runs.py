"""Runs made from plain numbers, for tests of what is concluded from runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evalkit.records import (
    AgentError,
    Case,
    MetricInfo,
    Output,
    Run,
    RunHeader,
    Score,
    ScoreState,
    Trial,
)

Cell = float | bool | ScoreState
"""A value, a pass or failure, or the state of a score that has no value."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a made run is like beyond its numbers.

    `lost` are (case, trial) whose agent failed, `absent` those that were never run.
    """

    run_id: str = "run"
    infos: Sequence[MetricInfo] = ()
    tags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    lost: Sequence[tuple[str, int]] = ()
    absent: Sequence[tuple[str, int]] = ()
    selection: str = ""
    cost_usd: float | None = None


def make_score(info: MetricInfo, cell: Cell) -> Score:
    if isinstance(cell, str):
        return Score(metric=info.name, state=cell)
    return Score(
        metric=info.name, value=float(cell), passed=None if info.unit else bool(cell >= 0.5)
    )


def make_run(
    cells: Mapping[str, Mapping[str, Sequence[Cell]]], made: Made | None = None, **changes: object
) -> Run:
    """A run from metric -> case -> one cell per trial."""
    made = made or Made(**changes)  # type: ignore[arg-type] # the fields of Made, by name
    given = {info.name: info for info in made.infos}
    infos = [given.get(name, MetricInfo(name=name, digest="d")) for name in cells]
    ids = list(dict.fromkeys(case for by_case in cells.values() for case in by_case))
    count = max((len(row) for by_case in cells.values() for row in by_case.values()), default=0)
    trials = []
    for case_id in ids:
        for number in range(count):
            if (case_id, number) in made.absent:
                continue
            scores = [
                make_score(info, cells[info.name][case_id][number])
                for info in infos
                if number < len(cells[info.name].get(case_id, ()))
            ]
            error = (
                AgentError(kind="timeout", message="") if (case_id, number) in made.lost else None
            )
            output = Output(error=error, cost_usd=made.cost_usd)
            kept = () if error else tuple(scores)
            trials.append(Trial(case_id=case_id, number=number, output=output, scores=kept))
    header = RunHeader(
        id=made.run_id,
        evalset="support",
        evalset_path="evalsets/support.yaml",
        evalset_digest="e",
        cases=tuple(
            Case(
                id=case_id,
                input="?",
                tags=tuple(made.tags.get(case_id, ())),
                digest=made.digests.get(case_id, "same"),
            )
            for case_id in ids
        ),
        metrics=tuple(infos),
        gate=(),
        trials=count,
        agent_kind="python",
        agent_entrypoint="agent:answer",
        agent_digest="a",
        agent_version="v",
        settings={},
        created="2025-01-01T00:00:00Z",
        evalkit_version="0",
        selection=made.selection,
    )
    return Run(header=header, trials=tuple(trials))


def counted(passes: Mapping[str, tuple[int, int]]) -> dict[str, list[float]]:
    """Cells of a 0/1 metric from passes of trials, by case."""
    return {case: [1.0] * c + [0.0] * (k - c) for case, (c, k) in passes.items()}
