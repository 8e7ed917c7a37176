"""Estimate a statistic of one run with a confidence interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from typing import TYPE_CHECKING, TypeAlias

from evalkit.compare.scores import CaseScores, group_by_cluster, mean, quantile, sum_missing
from evalkit.core.eval_set import Rule
from evalkit.core.literals import Stat

if TYPE_CHECKING:
    from evalkit.stats.intervals import Groups, Interval

TrialValues: TypeAlias = Sequence[Sequence[float]]
"""Values by case and trial."""

QUANTILE_LEVELS: dict[Stat, float] = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
"""The statistics that are quantiles of all trials."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricEstimate:
    """The value of a rule with `min` or `max` in one run.

    `interval` is for the expected value over cases like these; each bound is wrong with probability at
    most alpha. `clusters` is the number of independent draws among the `cases`. `due` trials should have a
    value and `scored` trials have one. `missing` counts the others by reason.
    """

    unit: str
    value: float
    interval: Interval
    cases: int
    clusters: int
    scored: int
    due: int
    missing: Mapping[str, int]


def estimate_metric(rule: Rule, unit: str, cases: Sequence[CaseScores]) -> MetricEstimate:
    """Return the statistic of a rule over these cases, of which at least one has a value."""
    found = [(case.flags if rule.stat == "rate" else case.values, case.cluster) for case in cases]
    rows = [row for row, _ in found if row]
    groups = group_by_cluster(cluster for row, cluster in found if row)
    return MetricEstimate(
        unit="" if rule.stat == "rate" else unit,
        value=compute_statistic(rule, rows),
        interval=_compute_interval(rule, unit, rows, groups),
        cases=len(rows),
        clusters=len(groups),
        scored=sum(map(len, rows)),
        due=sum(case.due for case in cases),
        missing=sum_missing(cases),
    )


def compute_mean_interval(
    metric: str, unit: str, cases: Sequence[CaseScores]
) -> tuple[float | None, float | None]:
    """Return the 90 % interval of a metric's mean on cases like these; None for an unknown bound."""
    if not any(case.values for case in cases):
        return None, None
    low, high = estimate_metric(Rule(metric=metric, min=0.0), unit, cases).interval
    return (low if isfinite(low) else None, high if isfinite(high) else None)


def _compute_interval(rule: Rule, unit: str, rows: TrialValues, groups: Groups) -> Interval:
    # Imported here, because numpy takes 100 ms to load and stored history rows do not need it.
    import numpy as np  # noqa: PLC0415

    from evalkit.stats import intervals  # noqa: PLC0415

    if rule.stat in QUANTILE_LEVELS:
        return intervals.quantile_interval(rows, groups, QUANTILE_LEVELS[rule.stat], rule.alpha)
    means = np.array([mean(row) for row in rows])
    values = set(chain(*rows))
    if rule.stat != "rate" and (unit or min(values) < 0.0 or max(values) > 1.0):
        bounds = intervals.mean_interval(means, groups, rule.alpha)
        # No mean of values that are never negative, such as times and costs, is negative.
        is_clipped = len(rows) > 1 and min(values) >= 0.0
        return bounds._replace(low=max(bounds.low, 0.0)) if is_clipped else bounds
    # Trials that are 0 or 1 are never worth more than their number; other shares vary less.
    is_binary = values <= {0.0, 1.0}
    most = float(sum(map(len, rows))) if is_binary else intervals.MAX_EFFECTIVE_TRIALS
    trials = intervals.effective_trials(means, groups, most)
    low, high = intervals.share_interval(mean(means.tolist()), trials, rule.alpha)
    # Failures show that trials of a case differ, which makes them worth more. Still, no result may
    # prove more than the best one does, for which each case counts once.
    least = intervals.effective_trials(np.ones(len(rows)), groups)
    limit = intervals.share_interval(1.0, least, rule.alpha).low
    return intervals.Interval(min(low, limit), max(high, 1.0 - limit))


def mean_of_means(rows: TrialValues) -> float:
    """Return the mean over cases of each case's own mean."""
    return mean(map(mean, rows))


def compute_statistic(rule: Rule, rows: TrialValues) -> float:
    """Return the statistic that a rule names."""
    if rule.stat in QUANTILE_LEVELS:
        return quantile(list(chain(*rows)), QUANTILE_LEVELS[rule.stat])
    return mean_of_means(rows)
