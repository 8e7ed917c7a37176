"""A run summed up in one row of a history: who, when, every metric with its interval, errors, cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Literal

import msgspec

from evalkit.compare.call_stats import CallStats, compute_call_stats
from evalkit.compare.scores import CaseScores, ScoreTable, build_score_table, quantile
from evalkit.compare.summary import summarize_table, tally
from evalkit.core.eval_set import Rule
from evalkit.core.literals import Json
from evalkit.core.run import Run
from evalkit.core.serialization import to_json_value

HISTORY_SCHEMA = "evalkit.history/v1"


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryMetric:
    """One metric of a run, or of the cases with `tag`; `low` and `high` bound 90 % of where its mean is."""

    metric: str
    tag: str | None = None
    unit: str = ""
    higher_is_better: bool = True
    mean: float | None = None
    rate: float | None = None
    low: float | None = None
    high: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    scored: int = 0
    due: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryRow:
    """One run or recorded baseline.

    `errors` counts trials without a score by what went wrong; `latency_s` holds p50, p95 and p99 over all
    answers. Costs are None where nothing tells them. `calls` are those of each tool and model. `definition` tells one measuring of the set from
    another: its cases, metrics and judge.
    """

    kind: Literal["run", "baseline"] = "run"
    id: str
    created: str
    version: str
    commit: str = ""
    dirty: bool = False
    evalset: str
    evalset_path: str
    definition: str = ""
    agent: str = ""
    judge: str = ""
    cases: int = 0
    trials: int = 0
    selection: str = ""
    metrics: tuple[HistoryMetric, ...] = ()
    errors: Mapping[str, int] = field(default_factory=dict)
    latency_s: Mapping[str, float] = field(default_factory=dict)
    cost_usd: float | None = None
    judge_cost_usd: float | None = None
    calls: tuple[CallStats, ...] = ()
    schema: str = HISTORY_SCHEMA

    def find(self, metric: str, tag: str | None = None) -> HistoryMetric | None:
        """One of its metrics."""
        return next(
            (each for each in self.metrics if (each.metric, each.tag) == (metric, tag)), None
        )


def build_summary(run: Run) -> Json:
    """What a finished run leaves beside its trials, so that a history need not read them."""
    return {**msgspec.to_builtins(tally(run)), "row": to_json_value(build_history_row(run))}


def build_history_row(run: Run, kind: Literal["run", "baseline"] = "run") -> HistoryRow:
    """The row of a run."""
    header, table = run.header, build_score_table(run)
    latencies = [trial.output.latency_s for trial in run.trials if trial.output.error is None]
    costs = [t.output.cost_usd for t in run.trials if t.output.cost_usd is not None]
    judged = [
        score.judgement.cost_usd
        for trial in run.trials
        for score in trial.scores
        if score.judgement is not None and score.judgement.cost_usd is not None
    ]
    return HistoryRow(
        kind=kind,
        id=header.id,
        created=header.created,
        version=header.agent_version,
        commit=header.git_commit,
        dirty=header.git_dirty,
        evalset=header.evalset,
        evalset_path=header.evalset_path,
        definition=header.evalset_digest,
        agent=header.agent_entrypoint,
        judge=", ".join(sorted({info.judge for info in header.metrics if info.judge})),
        cases=len(header.cases),
        trials=header.trials,
        selection=" ".join(filter(None, (header.selection, header.shard))),
        metrics=tuple(_build_metrics(table)),
        errors=_count_errors(run),
        latency_s={name: quantile(latencies, level) for name, level in _LEVELS}
        if latencies
        else {},
        cost_usd=sum(costs) if costs else None,
        judge_cost_usd=sum(judged) if judged else None,
        calls=compute_call_stats(run),
    )


_LEVELS = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


def _build_metrics(table: ScoreTable) -> Iterable[HistoryMetric]:
    for summary in summarize_table(table):
        whole = HistoryMetric(
            metric=summary.metric,
            tag=summary.tag,
            unit=summary.unit,
            higher_is_better=summary.higher_is_better,
            mean=summary.mean,
            rate=summary.rate,
            scored=summary.scored,
            due=summary.due,
        )
        if summary.tag is not None:
            # Of a tag only what it comes to: a history is kept for years.
            yield whole
            continue
        scores = tuple(table.scores.get(summary.metric, {}).values())
        low, high = compute_mean_interval(summary.metric, summary.unit, scores)
        yield replace(whole, low=low, high=high, p50=summary.p50, p95=summary.p95, p99=summary.p99)


def compute_mean_interval(
    metric: str, unit: str, cases: Sequence[CaseScores]
) -> tuple[float | None, float | None]:
    """What a metric's mean may be on other cases like these, in 90 of 100 sets; None where it is not known."""
    if not any(case.values for case in cases):
        return None, None
    from evalkit.compare.estimates import estimate_metric  # noqa: PLC0415 - numpy, which readers of rows need not

    low, high = estimate_metric(Rule(metric=metric, min=0.0), unit, cases).interval
    return (low if isfinite(low) else None, high if isfinite(high) else None)


def _count_errors(run: Run) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for trial in run.trials:
        if trial.output.error is not None:
            counts[trial.output.error.kind] += 1
        elif trial.state not in ("scored", "skipped"):
            counts[trial.state] += 1
    return dict(sorted(counts.items()))
