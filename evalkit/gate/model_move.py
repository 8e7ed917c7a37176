"""Decide whether an agent that did not change answers differently than its baseline: its model moved.

Runs of the unchanged agent after its baseline, such as nightly ones, are a series. A sequential test says
at any time whether the series is still like the baseline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from evalkit.compare.scores import ScoreTable, build_score_table, mean
from evalkit.core.format import format_count, format_value
from evalkit.core.run import Run, RunHeader
from evalkit.core.spans import CACHED
from evalkit.stats.conformal_test import MAX_SERIES, SeriesCounts, follow_series

ALPHA = 0.05
"""The probability that an unchanged agent is ever said to have moved, over the life of a baseline."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelMove:
    """A metric on which an unchanged agent moved away from its baseline.

    The rate of passes, in the mean of `cases` cases, was `base` and is `now` in the `runs` later runs.
    `run_id` is the run after which it was proven, and `e_value` the evidence, divided by the number of
    series that were followed: an agent that did not move ever reaches it on any metric with a probability of
    at most 1 / e_value.
    """

    metric: str
    direction: Literal["fell", "rose"]
    base: float
    now: float
    cases: int
    runs: int
    run_id: str
    e_value: float


def is_same_agent(one: RunHeader, other: RunHeader) -> bool:
    """Return whether two runs are of the same version of the same agent, with the same source files."""
    return _identify(one) == _identify(other)


def is_in_series(header: RunHeader, baseline: RunHeader) -> bool:
    """Return whether a run continues the series of a baseline: the same agent on the whole set.

    Scores of old outputs are no new evidence, and selected cases may be selected for having failed.
    """
    return (
        is_same_agent(header, baseline)
        and header.id != baseline.id
        and not (header.selection or header.shard or header.scored_from)
    )


def _identify(header: RunHeader) -> tuple[str, ...]:
    return (
        header.agent_kind,
        header.agent_entrypoint,
        header.agent_digest,
        header.agent_version,
        header.source_digest,
    )


def find_model_moves(baseline: Run, later: Sequence[Run]) -> list[ModelMove]:
    """Return the metrics on which the later runs, oldest first, have moved away from the baseline.

    Only passes of cases that are the same as in the baseline count, and no cached answers. The probability
    that an unchanged agent ever gets a result is at most `ALPHA`, over all metrics and both directions
    together: each has an equal part.
    """
    runs = later[:MAX_SERIES]
    base, *tables = (build_score_table(_without_cached(run)) for run in (baseline, *runs))
    followed = [name for name in base.infos if any(_read_flags(base, name).values())]
    needed = 2 * len(followed) / ALPHA
    return [move for name in followed for move in _follow_metric(name, base, tables, needed)]


def describe_move(move: ModelMove, command: str) -> str:
    """Return the note on a move, which advises to run `command`."""
    runs = format_count(move.runs, "run")
    rates = f"{format_value(move.base, '')} to {format_value(move.now, '')}"
    return (
        f"THE MODEL MOVED: in {runs} of the unchanged agent since the baseline, {move.metric} {move.direction} "
        f"from {rates} of {format_count(move.cases, 'case')} (proven by run {move.run_id}; if nothing had "
        f"changed, at most 1 of {move.e_value:,.0f} such series would ever look like this). What this run "
        f"differs in from the baseline may be the model's doing. Compare with the agent as it answers "
        f"today: {command}"
    )


def _without_cached(run: Run) -> Run:
    kept = tuple(trial for trial in run.trials if CACHED not in trial.output.flags)
    return run if len(kept) == len(run.trials) else replace(run, trials=kept)


def _read_flags(table: ScoreTable, metric: str) -> dict[str, tuple[float, ...]]:
    """Return the passes (1 or 0) of the trials of each case that has all of them.

    In a run with looks only the first trial counts, because the further ones depend on what it showed.
    """
    most = 1 if table.header.looks else None
    rows = table.scores.get(metric, {})
    return {case_id: row.flags[:most] for case_id, row in rows.items() if not row.missing}


def _follow_metric(
    metric: str, base: ScoreTable, tables: Sequence[ScoreTable], needed: float
) -> Iterator[ModelMove]:
    first = _read_flags(base, metric)
    cases = [case_id for case_id, flags in first.items() if flags]
    same = [
        table
        for table in tables
        if metric in table.infos and table.infos[metric].definition == base.infos[metric].definition
    ]
    rows = [_read_same_cases(table, base, metric) for table in same]
    if not cases or not rows:
        return
    counts = [_count(each, cases) for each in (first, *rows)]
    directions: tuple[Literal["fell", "rose"], ...] = ("fell", "rose")
    for direction in directions:
        start, *series = counts if direction == "fell" else [_invert(each) for each in counts]
        evidence = follow_series(start, series)
        reached = np.flatnonzero(evidence >= needed)
        if not reached.size:
            continue
        moved = int(reached[0])
        seen = [case_id for case_id in cases if any(row.get(case_id) for row in rows)]
        pooled = {
            case_id: [flag for row in rows for flag in row.get(case_id, ())] for case_id in seen
        }
        yield ModelMove(
            metric=metric,
            direction=direction,
            base=mean(mean(first[case_id]) for case_id in seen),
            now=mean(mean(flags) for flags in pooled.values()),
            cases=len(seen),
            runs=len(rows),
            run_id=same[moved].header.id,
            e_value=float(evidence.max()) / (needed * ALPHA),
        )


def _read_same_cases(
    table: ScoreTable, base: ScoreTable, metric: str
) -> dict[str, tuple[float, ...]]:
    digests = {case_id: case.digest for case_id, case in base.cases.items()}
    flags = _read_flags(table, metric)
    return {
        case_id: flags[case_id]
        for case_id, case in table.cases.items()
        if case_id in flags and digests.get(case_id) == case.digest
    }


def _count(flags: Mapping[str, Sequence[float]], cases: Sequence[str]) -> SeriesCounts:
    rows = [flags.get(case_id, ()) for case_id in cases]
    return SeriesCounts(
        np.array([round(sum(row)) for row in rows]), np.array([len(row) for row in rows])
    )


def _invert(counts: SeriesCounts) -> SeriesCounts:
    """Return failures as passes, so that a test for a drop becomes one for a rise."""
    return counts._replace(passed=counts.trials - counts.passed)
