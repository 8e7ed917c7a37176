"""Summarize a run as one history row: version, date, metrics with intervals, errors, and cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import msgspec

from evalkit.compare.call_stats import CallStats, compute_call_stats, sum_known
from evalkit.compare.estimates import QUANTILE_LEVELS, compute_mean_interval
from evalkit.compare.scores import ScoreTable, build_score_table, quantile
from evalkit.compare.summary import summarize_table, tally_table
from evalkit.core.errors import ApprovalNeeded
from evalkit.core.literals import Json, Outcome, Stat, result_word
from evalkit.core.run import Run
from evalkit.core.serialization import to_json_value

HISTORY_SCHEMA = "evalkit.history/v1"


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryMetric:
    """One metric of a run, or of the cases with `tag`; `low` and `high` are the 90 % interval of its mean."""

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
class HistoryThreshold:
    """One threshold as it was applied to a run.

    `value` is the statistic of the metric that was compared with `limit`, and `low` and `high` are its
    90 % interval. `limit` is the least value that is allowed, or with `is_upper` the largest: the
    threshold's own number, or for a threshold on a change the `baseline` plus the change that is allowed.
    All are in `unit`; None if unknown. `name` is that in reports. `kind` and `allowed` are the threshold as
    it is written, such as `max_drop` and 0.02. `advisory` thresholds do not affect the result.
    """

    name: str
    metric: str = ""
    stat: Stat = "mean"
    tag: str | None = None
    kind: str = ""
    allowed: float | None = None
    outcome: Outcome
    unit: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    baseline: float | None = None
    limit: float | None = None
    is_upper: bool = False
    primary: bool = False
    advisory: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryResult:
    """The gate result of a run, and the baseline that it was compared with.

    `baseline` is the id of the baseline's run, and `baseline_version` its agent version; empty without one.
    `is_accepted` is set if a person accepted a result that was no pass; the exit code is then 0.
    `is_recomputed` is set if the run stored no result, so that its own thresholds were applied to it later.
    """

    outcome: Outcome
    exit_code: int
    reason: str
    baseline: str = ""
    baseline_version: str = ""
    thresholds: tuple[HistoryThreshold, ...] = ()
    is_accepted: bool = False
    is_recomputed: bool = False

    @property
    def word(self) -> str:
        """The word for the result."""
        return result_word(
            self.outcome,
            is_accepted=self.is_accepted,
            needs_approval=self.exit_code == ApprovalNeeded.exit_code,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryRow:
    """One run or recorded baseline.

    `result` is the gate result of the run; None for a baseline, for a shard, and if it is unknown.
    `errors` counts trials without a score by reason; `latency_s` holds p50, p95 and p99 over all answers.
    A cost is None if nothing reports one. `calls` summarizes the calls by tool and by model.
    `definition` is the digest of the set's cases, metrics and gate.
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
    result: HistoryResult | None = None
    schema: str = HISTORY_SCHEMA

    def find(self, metric: str, tag: str | None = None) -> HistoryMetric | None:
        """Return a metric of the row, or of the cases with a tag; None if there is none."""
        wanted = (metric, tag)
        return next((each for each in self.metrics if (each.metric, each.tag) == wanted), None)


def build_summary(run: Run) -> Json:
    """Return the content of a finished run's summary file, so that a history does not read its trials."""
    tally = tally_table(build_score_table(run))
    return {**msgspec.to_builtins(tally), "row": to_json_value(build_history_row(run))}


def build_history_row(run: Run, kind: Literal["run", "baseline"] = "run") -> HistoryRow:
    """Return a run as a history row."""
    header = run.header
    latencies = [trial.output.latency_s for trial in run.trials if trial.output.error is None]
    costs = (trial.output.cost_usd for trial in run.trials)
    judge_costs = (
        score.judgement.cost_usd
        for trial in run.trials
        for score in trial.scores
        if score.judgement is not None
    )
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
        # A set may use several judges, one for each rubric.
        judge=", ".join(sorted({info.judge for info in header.metrics if info.judge})),
        cases=len(header.cases),
        trials=header.trials,
        selection=" ".join(filter(None, (header.selection, header.shard))),
        metrics=tuple(_build_metrics(build_score_table(run))),
        errors=_count_errors(run),
        latency_s={
            name: quantile(latencies, level) for name, level in QUANTILE_LEVELS.items() if latencies
        },
        cost_usd=sum_known(costs),
        judge_cost_usd=sum_known(judge_costs),
        calls=compute_call_stats(run),
    )


def _build_metrics(table: ScoreTable) -> Iterable[HistoryMetric]:
    for summary in summarize_table(table):
        metric = HistoryMetric(
            metric=summary.metric,
            tag=summary.tag,
            unit=summary.unit,
            higher_is_better=summary.higher_is_better,
            mean=summary.mean,
            rate=summary.rate,
            scored=summary.scored,
            due=summary.due,
        )
        # A history is kept for years, so tags have no interval and no quantiles, to save space.
        if summary.tag is None:
            scores = tuple(table.scores.get(summary.metric, {}).values())
            low, high = compute_mean_interval(summary.metric, summary.unit, scores)
            metric = replace(
                metric, low=low, high=high, p50=summary.p50, p95=summary.p95, p99=summary.p99
            )
        yield metric


def _count_errors(run: Run) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for trial in run.trials:
        if trial.output.error is not None:
            counts[trial.output.error.kind] += 1
        elif trial.state not in ("scored", "skipped"):
            counts[trial.state] += 1
    return dict(sorted(counts.items()))
