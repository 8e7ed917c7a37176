"""Turn the rows of a history into series: one statistic of an agent's runs, with its limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evalkit.compare.history import HistoryMetric, HistoryRow, HistoryThreshold
from evalkit.core.format import format_bound, format_limit
from evalkit.core.literals import Outcome
from evalkit.report.content import NO_VALUE, value_cell
from evalkit.report.history_content import WORST_FIRST, find_deciding, metric_names


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One statistic over runs of one agent, oldest first; `rules` are its thresholds in the newest run."""

    title: str
    unit: str
    points: tuple[SeriesPoint, ...]
    rules: str = ""
    metric: str = ""

    @property
    def known(self) -> list[SeriesPoint]:
        """The points that have a value."""
        return [point for point in self.points if point.value is not None]

    @property
    def newest(self) -> SeriesPoint:
        """The newest point of a run that has a value, else of a baseline; an empty one if there is none."""
        runs = [point for point in self.known if not point.is_baseline]
        return (runs or self.known or [SeriesPoint()])[-1]

    def show(self, value: float | None) -> str:
        """Return a value in the unit of the series."""
        return value_cell(value, self.unit)

    @property
    def is_constant(self) -> bool:
        """Whether every run shows the same value."""
        return len({self.show(point.value) for point in self.known}) < 2

    @property
    def is_far_from_limit(self) -> bool:
        """Whether the values fill less than a twelfth of the way to their limit."""
        ends = [bound for point in self.known for bound in (point.value, point.low, point.high)]
        limits = [limit for point in self.known for limit in (point.lower, point.upper)]
        found = [value for value in ends if value is not None]
        marks = [limit for limit in limits if limit is not None]
        if not found or not marks:
            return False
        reach = max(*found, *marks) - min(*found, *marks)
        return 12 * (max(found) - min(found)) < reach and all(
            point.outcome in (None, "pass") for point in self.known
        )

    @property
    def range_text(self) -> str:
        """The smallest and the largest value."""
        values = [point.value for point in self.known if point.value is not None]
        texts = dict.fromkeys(map(self.show, (min(values), max(values)))) if values else [NO_VALUE]
        return " to ".join(texts)


def build_series(rows: Sequence[HistoryRow]) -> list[Series]:
    """Return the series of one agent's rows: the one that decides the newest run, other thresholds, metrics."""
    keys: dict[SeriesKey, None] = {}
    decided = [row for row in reversed(rows) if row.result is not None]
    if decided and (deciding := find_deciding(decided[0])) is not None:
        # The primary threshold is the headline, unless another one decides.
        primary = [each for each in _thresholds(decided[0]) if each.primary]
        first = deciding if deciding.outcome != "pass" or not primary else primary[0]
        keys[_key_of(first)] = None
    for row in decided:
        keys.update(dict.fromkeys(map(_key_of, _thresholds(row))))
    for metric in metric_names(rows):
        keys.setdefault(SeriesKey(metric, "mean", None))
    return [_build_one(key, rows) for key in keys]


def _thresholds(row: HistoryRow) -> Iterator[HistoryThreshold]:
    """Yield the thresholds of a row that compare a value."""
    for each in row.result.thresholds if row.result is not None else ():
        if each.metric and each.limit is not None:
            yield each


def rule_text(threshold: HistoryThreshold) -> str:
    """Return a threshold as words, such as `max drop 2 pt` or `min 70%`."""
    if threshold.allowed is None:
        return threshold.name
    is_change = threshold.kind in ("max_drop", "max_rise")
    show = format_limit if is_change else format_bound
    words = threshold.kind.replace("_", " ")
    return f"{words} {show(threshold.allowed, threshold.unit)}"


def _key_of(threshold: HistoryThreshold) -> SeriesKey:
    return SeriesKey(threshold.metric, threshold.stat, threshold.tag)


def _build_one(key: SeriesKey, rows: Sequence[HistoryRow]) -> Series:
    applied = [[each for each in _thresholds(row) if _key_of(each) == key] for row in rows]
    metrics = [row.find(key.metric, key.tag) for row in rows]
    units = [each.unit for found in applied for each in found]
    # A rate is a share, whatever the unit of the metric.
    units += ["" if key.stat == "rate" else each.unit for each in metrics if each is not None]
    newest = next((found for found in reversed(applied) if found), [])
    return Series(
        title=key.title,
        unit=units[-1] if units else "",
        points=tuple(
            _build_point(key, found, metric)._replace(is_baseline=row.kind == "baseline")
            for row, found, metric in zip(rows, applied, metrics, strict=True)
        ),
        rules=", ".join(map(rule_text, newest)),
        metric=key.metric,
    )


def _build_point(
    key: SeriesKey, applied: Sequence[HistoryThreshold], metric: HistoryMetric | None
) -> SeriesPoint:
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
    worst = min(applied, key=lambda each: WORST_FIRST.index(each.outcome))
    return SeriesPoint(
        value=closest.value,
        low=closest.low,
        high=closest.high,
        outcome=worst.outcome,
        lower=max(lower, default=None),
        upper=min(upper, default=None),
        baseline=closest.baseline,
    )
