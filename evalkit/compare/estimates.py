"""Estimate a statistic of one run with its confidence interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TypeAlias

import numpy as np

from evalkit.compare.scores import CaseScores, mean, quantile
from evalkit.compare.summary import sum_missing
from evalkit.core.eval_set import Rule
from evalkit.core.literals import Stat
from evalkit.stats.intervals import (
    Interval,
    effective_trials,
    mean_interval,
    quantile_interval,
    wilson_interval,
)

_ROUNDING = 1e-9
_MAX_CASES = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricEstimate:
    """What a run says of a rule with `min` or `max`.

    `interval` holds the expected value over cases like these, missed on either side with probability
    at most alpha. `due` trials should have a value, `scored` have one, `missing` says why not.
    """

    unit: str
    value: float
    interval: Interval
    cases: int
    scored: int
    due: int
    missing: Mapping[str, int]


def estimate_metric(rule: Rule, unit: str, cases: Sequence[CaseScores]) -> MetricEstimate:
    """The statistic of a rule over these cases, of which at least one has a value."""
    rows = [case.flags if rule.stat == "rate" else case.values for case in cases]
    rows = [row for row in rows if row]
    return MetricEstimate(
        unit="" if rule.stat == "rate" else unit,
        value=statistic_of(rule)(rows),
        interval=_interval(rule, unit, rows),
        cases=len(rows),
        scored=sum(map(len, rows)),
        due=sum(case.due for case in cases),
        missing=sum_missing(cases),
    )


def _interval(rule: Rule, unit: str, rows: TrialValues) -> Interval:
    if rule.stat in QUANTILE_LEVELS:
        return quantile_interval(rows, QUANTILE_LEVELS[rule.stat], rule.alpha)
    values = list(chain(*rows))
    if rule.stat == "rate" or (not unit and all(value in (0.0, 1.0) for value in values)):
        return wilson_interval(statistic_of(rule)(rows), effective_trials(rows), rule.alpha)
    bounds = mean_interval(np.array([mean(row) for row in rows]), rule.alpha)
    if len(rows) > 1 and not unit and min(values) >= 0.0 and max(values) <= 1.0:
        return Interval(max(bounds.low, 0.0), min(bounds.high, 1.0))
    return bounds


TrialValues: TypeAlias = Sequence[Sequence[float]]
"""Values by case and trial."""

QUANTILE_LEVELS: dict[Stat, float] = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
"""The statistics that are quantiles of all trials."""


def mean_of_means(rows: TrialValues) -> float:
    """The mean over cases of each case's own mean."""
    return mean(map(mean, rows))


def _pooled_quantile(level: float, rows: TrialValues) -> float:
    return quantile(list(chain(*rows)), level)


def statistic_of(rule: Rule) -> Callable[[TrialValues], float]:
    """The number that a rule is about, from values by case and trial."""
    if rule.stat in QUANTILE_LEVELS:
        return partial(_pooled_quantile, QUANTILE_LEVELS[rule.stat])
    return mean_of_means
