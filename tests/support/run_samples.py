"""Runs made from plain numbers, for tests of what is concluded from runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from evalkit.core.eval_set import Case, Rule
from evalkit.core.literals import ScoreState
from evalkit.core.run import MetricInfo, Run, RunHeader
from evalkit.core.trial import AgentError, Output, Score, Trial

LATENCY = MetricInfo(name="latency_s", unit="s", higher_is_better=False, digest="d")

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


def large_decision() -> tuple[list[Rule], Run, Run]:
    """Five thresholds, a candidate of 200 cases and 3 trials, and its baseline of 10."""
    rng = np.random.default_rng(9)
    ids = [f"case-{number}" for number in range(200)]
    rates = rng.beta(0.6, 0.2, 200)

    def run_of(trials: int) -> Run:
        accuracy = rng.random((200, trials)) < rates[:, None]
        tone = np.clip(rates[:, None] + rng.normal(0, 0.1, (200, trials)), 0, 1)
        latency = np.exp(rng.normal(0, 0.3, (200, trials)))
        rows = {"accuracy": accuracy, "tone": tone, "latency_s": latency}
        return make_run(
            {name: dict(zip(ids, table.tolist(), strict=True)) for name, table in rows.items()},
            infos=[LATENCY],
            tags={case: ["odd" if number % 2 else "even"] for number, case in enumerate(ids)},
        )

    rules = [
        Rule(metric="accuracy", max_drop=0.02),
        Rule(metric="accuracy", max_drop=0.02, tag="odd"),
        Rule(metric="tone", max_drop=0.02),
        Rule(metric="latency_s", stat="p95", max_rise=0.2),
        Rule(metric="tone", min=0.5),
    ]
    base = run_of(10)
    return rules, run_of(3), base
