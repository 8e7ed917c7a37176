"""The words and numbers of a traffic report that its formats share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from evalkit.core.format import format_change, format_count, format_value
from evalkit.traffic.measures import Measure, Stat, find_measure
from evalkit.traffic.report_record import (
    ArmComparison,
    ArmDifference,
    ChangePoint,
    Group,
    TrafficEstimate,
    TrafficReport,
)

NO_VALUE = "-"
_SHOWN_STATS: dict[str, tuple[Stat, ...]] = {
    "latency_s": ("p50", "p95", "p99"),
    "time_to_first_token_s": ("p50", "p95"),
}
"""The statistics of a duration that say most; of other values it is the mean."""
_MIRROR, _MIRRORED = "error_rate", "success_rate"
_RARE = ("feedback_rate", "pii_rate", "secrets_rate")
"""Measures that are shown if they ever happen."""
_MOST_NAMED = 4
SUMMARY: tuple[tuple[str, Stat], ...] = (
    ("success_rate", "mean"),
    ("escalation_rate", "mean"),
    ("satisfaction", "mean"),
    ("latency_s", "p95"),
    ("latency_s", "p50"),
    ("cost_usd", "mean"),
)
"""The columns of a table of groups, by importance."""


class Row(NamedTuple):
    """A statistic of a measure for which a report has an estimate."""

    measure: Measure
    stat: Stat

    @property
    def title(self) -> str:
        """Its name for people."""
        return title_of(self.measure.name, self.stat)


def title_of(measure: str, stat: Stat) -> str:
    """Return the name of a statistic for people, such as `latency p95`."""
    title = find_measure(measure).title
    return title if stat == "mean" else f"{title} {stat}"


def list_rows(report: TrafficReport) -> list[Row]:
    """Return the statistics that are worth a line, by importance."""
    rows = []
    for each in report.whole.estimates:
        measure = find_measure(each.measure)
        if each.stat not in _SHOWN_STATS.get(measure.name, ("mean",)):
            continue
        is_mirror = measure.name == _MIRROR and report.whole.find(_MIRRORED) is not None
        if not is_mirror and (measure.name not in _RARE or each.value):
            rows.append(Row(measure, each.stat))
    return rows


def choose_rows(report: TrafficReport, comparison: ArmComparison | None, most: int) -> list[Row]:
    """Return at most so many statistics: those that differ first, then by importance."""
    rows = list_rows(report)

    def rank(row: Row) -> bool:
        found = find_difference(comparison, row) if comparison else None
        return found is None or found.direction not in {"worse", "better"}

    chosen = sorted(rows, key=rank)[:most]
    return [row for row in rows if row in chosen]


def value_text(measure: Measure, value: float | None) -> str:
    """Return a value with its unit."""
    if value is None:
        return NO_VALUE
    if measure.unit == "tokens":
        return f"{value:,.0f}"
    return format_value(value, measure.unit)


def estimate_text(estimate: TrafficEstimate | None) -> str:
    """Return the value of an estimate."""
    if estimate is None:
        return NO_VALUE
    return value_text(find_measure(estimate.measure), estimate.value)


def bounds_text(estimate: TrafficEstimate | None) -> str:
    """Return the interval of an estimate as `79.4 to 82.0%`; empty if it is unknown."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    measure = find_measure(estimate.measure)
    low = value_text(measure, estimate.low)
    for suffix in ("%", f" {measure.unit}"):
        low = low.removesuffix(suffix)
    return f"{low} to {value_text(measure, estimate.high)}"


def change_text(difference: ArmDifference) -> str:
    """Return a change in points, or in percent of the base."""
    if difference.change is None:
        return NO_VALUE
    return format_change(difference.change, find_measure(difference.measure).unit)


def change_bounds_text(difference: ArmDifference) -> str:
    """Return the bounds of a change as `-13.2 to -9.2 pt`; empty if they are unknown."""
    if difference.low is None or difference.high is None:
        return ""
    unit = find_measure(difference.measure).unit
    low = format_change(difference.low, unit).removesuffix(" pt").removesuffix("%")
    return f"{low} to {format_change(difference.high, unit)}"


def direction_text(difference: ArmDifference) -> str:
    """Return the direction of a change; `unclear` if only its own interval excludes no change."""
    low, high = difference.low, difference.high
    is_beyond = (low is not None and low > 0) or (high is not None and high < 0)
    if difference.direction == "no difference shown" and is_beyond:
        return "unclear"
    return difference.direction


def find_difference(comparison: ArmComparison, row: Row) -> ArmDifference | None:
    """Return the difference of a statistic."""
    for each in comparison.differences:
        if (each.measure, each.stat) == (row.measure.name, row.stat):
            return each
    return None


def moment_text(time: str) -> str:
    """Return a time of a report as `Thu 2026-11-26 12:00`."""
    return datetime.fromisoformat(time).strftime("%a %Y-%m-%d %H:%M")


def traffic_headline(report: TrafficReport) -> str:
    """Return what was measured, in a sentence."""
    whole = report.whole
    chosen = f" with {', '.join(report.filters)}" if report.filters else ""
    minutes = max((_seconds(report.end) - _seconds(report.start)) / 60, 1.0)
    peak = max((step.requests_per_minute for step in report.timelines[0].steps), default=0.0)
    return (
        f"{report.name}{chosen}: {format_count(whole.requests, 'request')} of "
        f"{format_count(whole.users, report.cluster)}, {moment_text(report.start)} to "
        f"{moment_text(report.end)} UTC, {whole.requests / minutes:.3g} a minute, peak {peak:.3g}"
    )


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


class Verdict(NamedTuple):
    """What a comparison says: a word, empty if it says nothing, and a sentence."""

    word: Literal["worse", "better", ""]
    text: str


def summarize(report: TrafficReport, comparison: ArmComparison) -> Verdict:
    """Return in which measures the candidate is worse, and in which it is better."""
    rows = list_rows(report)
    shown = [found for row in rows if (found := find_difference(comparison, row)) is not None]
    worse, better = (_name_changes(shown, direction) for direction in ("worse", "better"))
    start = f"{comparison.candidate} against {comparison.base}"
    if worse:
        return Verdict("worse", f"{start}: {worse}{better and f'; better in {better}'}")
    if better:
        return Verdict("better", f"{start}: {better}")
    unknown = all(each.direction == "too little data" for each in shown)
    return Verdict(
        "", f"{start}: {'too little data to compare' if unknown else 'no difference shown'}"
    )


def _name_changes(differences: Sequence[ArmDifference], direction: str) -> str:
    named = [
        f"{title_of(each.measure, each.stat)} {change_text(each)}"
        for each in differences
        if each.direction == direction
    ]
    more = f", and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    return f"{', '.join(named[:_MOST_NAMED])}{more}"


def list_change_sentences(report: TrafficReport, most: int | None = None) -> Iterator[str]:
    """Yield what changed at each time at which a measure changed its level: at most so many measures."""
    shown = {(row.measure.name, row.stat): rank for rank, row in enumerate(list_rows(report))}
    # What follows a new version within a step or two belongs together.
    together: dict[str, list[ChangePoint]] = {}
    for change in report.changes:
        if (change.measure, change.stat) in shown:
            together.setdefault(change.version or change.at, []).append(change)
    for changes in together.values():
        times = [each.at for each in changes]
        at = max(times, key=times.count)
        began = f" ({changes[0].version} began)" if changes[0].version else ""
        parts = [
            f"{title_of(each.measure, each.stat)} "
            f"{value_text(find_measure(each.measure), each.before)} to "
            f"{value_text(find_measure(each.measure), each.after)}"
            for each in sorted(changes, key=lambda each: shown[each.measure, each.stat])
        ]
        more = f", and {len(parts) - most} more" if most and len(parts) > most else ""
        yield f"{moment_text(at)} UTC{began}: {', '.join(parts[:most])}{more}"


def errors_text(group: Group, most: int = 5) -> str:
    """Return the errors of a group by type, with the share of the requests of each."""
    listed = list(group.errors.items())
    parts = [f"{kind} {count / group.requests:.1%}" for kind, count in listed[:most]]
    if len(listed) > most:
        rest = sum(count for _, count in listed[most:])
        parts.append(f"{len(listed) - most} other types {rest / group.requests:.1%}")
    return ", ".join(parts)


def series_of(report: TrafficReport, row: Row) -> Sequence[float | None]:
    """Return a statistic over the steps of the time axis."""
    values: list[float | None] = []
    for step in report.timelines[0].steps:
        found = [
            each.value
            for each in step.estimates
            if (each.measure, each.stat) == (row.measure.name, row.stat)
        ]
        values.append(found[0] if found else None)
    return values
