"""Turn one run of a history into a point of a series: a value with its interval, its limits, and its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from evalkit.compare.history import HistoryMetric, HistoryThreshold
from evalkit.core.format import format_bound, format_limit
from evalkit.core.literals import Outcome
from evalkit.report.content import URGENCY


class SeriesKey(NamedTuple):
    """What a series shows: a statistic of a metric, on all cases or on those with a tag."""

    metric: str
    stat: str
    tag: str | None

    @property
    def title(self) -> str:
        """The name of the series, as reports name a threshold."""
        name = self.metric if self.stat == "mean" else f"{self.metric} {self.stat}"
        return name if self.tag is None else f"{name} [{self.tag}]"


class SeriesPoint(NamedTuple):
    """The value of one run, with its 90 % interval, and what the gate made of it.

    `lower` and `upper` are the limits that it may not pass. `outcome` is None without a threshold.
    `is_baseline` is set for a recorded baseline, which is no new result of the agent.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    outcome: Outcome | None = None
    lower: float | None = None
    upper: float | None = None
    baseline: float | None = None
    is_baseline: bool = False


def rule_text(threshold: HistoryThreshold) -> str:
    """Return a threshold as words, such as `max drop 2 pt` or `min 70%`."""
    if threshold.allowed is None:
        return threshold.name
    is_change = threshold.kind in ("max_drop", "max_rise")
    show = format_limit if is_change else format_bound
    words = threshold.kind.replace("_", " ")
    return f"{words} {show(threshold.allowed, threshold.unit)}"


def build_point(
    key: SeriesKey, applied: Sequence[HistoryThreshold], metric: HistoryMetric | None
) -> SeriesPoint:
    """Return the point of a run, given its thresholds on the series and its metric, if it has them."""
    if not applied:
        if metric is None:
            return SeriesPoint()
        if key.stat == "mean":
            return SeriesPoint(metric.mean, metric.low, metric.high)
        return SeriesPoint(
            {"rate": metric.rate, "p50": metric.p50, "p95": metric.p95}.get(key.stat, metric.p99)
        )
    lower = [each.limit for each in applied if not each.is_upper and each.limit is not None]
    upper = [each.limit for each in applied if each.is_upper and each.limit is not None]
    # The interval of a change is narrower than that of a value, and decides with it.
    closest = min(applied, key=lambda each: (each.baseline is None, each.low is None))
    worst = min(applied, key=lambda each: URGENCY.index(each.outcome))
    return SeriesPoint(
        value=closest.value,
        low=closest.low,
        high=closest.high,
        outcome=worst.outcome,
        lower=max(lower, default=None),
        upper=min(upper, default=None),
        baseline=closest.baseline,
    )
