"""Turn the timelines of a report into the panels of the dashboard, in the order of harm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from evalkit.traffic.dashboard_records import (
    DashboardPanel,
    PanelAxis,
    PanelChange,
    PanelLine,
    PanelValue,
    TrafficSlice,
)
from evalkit.traffic.dimensions import UNVERSIONED
from evalkit.traffic.measures import MEASURES, Measure, Stat
from evalkit.traffic.report_record import (
    Group,
    Timeline,
    TrafficEstimate,
    TrafficReport,
    TrafficStep,
)

LOAD = "requests"
OTHER = "other"
MAX_PARTS = 4
"""The most parts of a stack that have a color of their own; the rest is one more."""

_ORDER = (
    "success_rate",
    "error_rate",
    "escalation_rate",
    LOAD,
    "latency_s",
    "cost_usd",
    "satisfaction",
    "rephrased_rate",
    "objection_rate",
    "abandoned_rate",
    "resolution_rate",
)
"""The first panels: what harms users, then load, latency, and cost, then what users think of it."""
_QUANTILES: tuple[Stat, ...] = ("p50", "p95", "p99")
_STEP_NAMES = {60: "minute", 3600: "hour", 86_400: "day", 604_800: "week"}


def name_step(seconds: int) -> str:
    """Return the name of a step of time, such as `day` or `6 hours`."""
    return _STEP_NAMES.get(
        seconds, f"{seconds // 3600} hours" if seconds >= 3600 else f"{seconds // 60} minutes"
    )


def build_axis(report: TrafficReport) -> PanelAxis:
    """Return the time axis of a report: days as labels, hours and minutes if there is only one day."""
    starts = [datetime.fromisoformat(step.start) for step in find_timeline(report).steps]
    days = {each.date() for each in starts}
    clock = "" if report.step_s >= 86_400 else " %H:%M"
    if len(days) == 1 and clock:
        labels = [f"{each:%H:%M}" for each in starts]
    elif len(days) <= 14:
        labels = [f"{each:%a} {each.day}" for each in starts]
    else:
        labels = [f"{each:%b} {each.day}" for each in starts]
    total = report.step_s * max(len(starts), 1)
    marks = [
        ((datetime.fromisoformat(group.first) - starts[0]).total_seconds() / total, group.name)
        for group in report.versions
        if starts and group.name != UNVERSIONED
    ]
    return PanelAxis(
        step=name_step(report.step_s),
        names=tuple(f"{each:%a} {each:%b} {each.day}{each.strftime(clock)}" for each in starts),
        labels=tuple(labels),
        midnights=tuple(
            index / len(starts)
            for index, (one, other) in enumerate(pairwise(starts), start=1)
            if clock and one.date() != other.date()
        ),
        weekend=tuple(report.step_s <= 86_400 and each.weekday() >= 5 for each in starts),
        # A version that served in the first step may have served before.
        starts=tuple(mark for mark in sorted(marks) if mark[0] * len(starts) >= 1),
    )


def find_timeline(report: TrafficReport, by: str = "", name: str = "") -> Timeline:
    """Return the timeline of a group, or of all requests; one without steps if there is none."""
    for each in report.timelines:
        if (each.by, each.name) == (by, name):
            return each
    return Timeline(by=by, name=name, steps=())


def known_measures(report: TrafficReport) -> list[Measure]:
    """Return the measures that are known in any request, in their order."""
    return [measure for measure in MEASURES if _find(report.whole.estimates, measure.name)]


def list_never(report: TrafficReport) -> list[Measure]:
    """Return the rates of what never happened, and is not missed; they need no plot."""
    return [
        measure
        for measure in known_measures(report)
        if measure.kind == "rate"
        and measure.better != "higher"
        and (found := report.whole.find(measure.name))
        and not found.value
    ]


def build_slices(
    report: TrafficReport, within: Mapping[str, TrafficReport]
) -> tuple[TrafficSlice, ...]:
    """Return all traffic, the groups of each dimension, and those within a version.

    Args:
        report: the report of all traffic.
        within: reports of the requests of single versions, by version, with the same steps.
    """
    panels = _Panels(report)
    whole = panels.build((), report.whole, find_timeline(report))
    found = [whole]
    for by, group in _list_groups(report):
        found.append(
            panels.build(((by, group.name),), group, find_timeline(report, by, group.name))
        )
    for version, part in within.items():
        for by, group in _list_groups(part):
            timeline = find_timeline(part, by, group.name)
            if by != "version" and len(timeline.steps) == len(find_timeline(report).steps):
                chosen = (("version", version), (by, group.name))
                found.append(panels.build(chosen, group, timeline))
    return tuple(found)


def _list_groups(report: TrafficReport) -> Iterator[tuple[str, Group]]:
    """Yield the groups of each dimension that has several, and a timeline of each."""
    for breakdown in report.breakdowns:
        if breakdown.by == "day" or len(breakdown.groups) < 2:
            continue
        for group in breakdown.groups:
            if find_timeline(report, breakdown.by, group.name).steps:
                yield breakdown.by, group


class _Panels:
    """Builds the panels of parts of one report."""

    def __init__(self, report: TrafficReport) -> None:
        self._report = report
        never = list_never(report)
        self._measures = [each for each in known_measures(report) if each not in never]
        self._errors = tuple(report.whole.errors)[:MAX_PARTS]
        # Only the largest versions have a timeline.
        timed = {each.name for each in report.timelines if each.by == "version"}
        named = [group.name for group in report.versions if group.name in timed]
        self._versions = [name for name in named if name != UNVERSIONED][1 - MAX_PARTS :]
        if UNVERSIONED in named:
            self._versions.append(UNVERSIONED)
        self._steps = [step.start for step in find_timeline(report).steps]

    def build(
        self, chosen: tuple[tuple[str, str], ...], group: Group, timeline: Timeline
    ) -> TrafficSlice:
        panels: list[DashboardPanel] = [
            self._errors_panel(each, group, timeline, is_whole=not chosen)
            if each.name == "error_rate"
            else self._lines_panel(each, group, timeline, is_whole=not chosen)
            for each in self._measures
        ]
        panels.append(self._load_panel(dict(chosen), group, timeline))
        panels.sort(key=lambda each: _ORDER.index(each.name) if each.name in _ORDER else 99)
        return TrafficSlice(chosen=chosen, requests=group.requests, panels=tuple(panels))

    def _changes(self, measure: Measure) -> tuple[PanelChange, ...]:
        return tuple(
            PanelChange(self._steps.index(each.at), each.before, each.after, each.version)
            for each in self._report.changes
            if each.measure == measure.name
            and each.at in self._steps
            and each.stat == ("p95" if measure.unit == "s" else "mean")
        )

    def _lines_panel(
        self, measure: Measure, group: Group, timeline: Timeline, *, is_whole: bool
    ) -> DashboardPanel:
        stats: Sequence[Stat] = _QUANTILES if measure.unit == "s" else ("mean",)
        unit = "" if measure.unit in ("", "usd") else f", {measure.unit}"
        return DashboardPanel(
            name=measure.name,
            title=f"{measure.title[0].upper()}{measure.title[1:]}{unit if unit == ', s' else ''}",
            unit=measure.unit,
            lines=tuple(
                _line("" if stat == "mean" else stat, measure.name, stat, group, timeline)
                for stat in stats
            ),
            changes=self._changes(measure) if is_whole else (),
        )

    def _errors_panel(
        self, measure: Measure, group: Group, timeline: Timeline, *, is_whole: bool
    ) -> DashboardPanel:
        """Return the share of requests by type of error, the most frequent first."""
        whole = _line("", measure.name, "mean", group, timeline)
        names = [*self._errors, *([OTHER] if len(self._report.whole.errors) > MAX_PARTS else [])]

        def part(
            name: str, total: PanelValue | None, errors: Mapping[str, int]
        ) -> PanelValue | None:
            if total is None:
                return None
            count = errors.get(name, 0)
            if name == OTHER:
                count = sum(errors.values()) - sum(errors.get(each, 0) for each in self._errors)
            # The rate may be weighted, which the counts are not.
            share = total.value * count / max(sum(errors.values()), 1)
            return PanelValue(share, None, None, total.requests)

        return DashboardPanel(
            name=measure.name,
            title="Errors by type",
            unit="",
            lines=tuple(
                PanelLine(
                    name=name,
                    total=part(name, whole.total, group.errors),
                    steps=tuple(
                        part(name, value, step.errors)
                        for value, step in zip(whole.steps, timeline.steps, strict=True)
                    ),
                )
                for name in names
            ),
            whole=whole,
            changes=self._changes(measure) if is_whole else (),
        )

    def _load_panel(
        self, chosen: Mapping[str, str], group: Group, timeline: Timeline
    ) -> DashboardPanel:
        """Return the number of requests: of all traffic by version, else as one part."""
        counts = {
            version: [
                step.requests for step in find_timeline(self._report, "version", version).steps
            ]
            for version in self._versions
        }
        totals = [step.requests for step in timeline.steps]
        if chosen:
            own = chosen.get("version", OTHER)
            parts = {version: [0] * len(totals) for version in counts}
            parts = {**parts, OTHER: [0] * len(totals), own: totals}
        else:
            rest = [
                total - sum(found[index] for found in counts.values())
                for index, total in enumerate(totals)
            ]
            parts = {**counts, **({OTHER: rest} if any(rest) else {})}
        busiest = max((step.requests_per_minute for step in timeline.steps), default=0.0)
        return DashboardPanel(
            name=LOAD,
            title="Requests by version" if len(counts) > 1 else "Requests",
            unit="requests",
            lines=tuple(
                PanelLine(
                    name=name,
                    total=_count(sum(found)),
                    steps=tuple(_count(each) for each in found),
                )
                for name, found in parts.items()
            ),
            whole=PanelLine(
                name="", total=_count(group.requests), steps=tuple(_count(each) for each in totals)
            ),
            about=f"{busiest:.2g} a minute in the busiest {name_step(self._report.step_s)}",
        )


def _count(number: int) -> PanelValue:
    return PanelValue(float(number), None, None, number)


def _line(name: str, measure: str, stat: Stat, group: Group, timeline: Timeline) -> PanelLine:
    def read(estimates: Sequence[TrafficEstimate]) -> PanelValue | None:
        found = _find(estimates, measure, stat)
        if found is None or found.value is None:
            return None
        return PanelValue(found.value, found.low, found.high, found.requests)

    def read_step(step: TrafficStep) -> PanelValue | None:
        return read(step.estimates)

    return PanelLine(
        name=name, total=read(group.estimates), steps=tuple(map(read_step, timeline.steps))
    )


def _find(
    estimates: Sequence[TrafficEstimate], measure: str, stat: Stat | None = None
) -> TrafficEstimate | None:
    """Return an estimate that is known; of any statistic if none is named."""
    for each in estimates:
        if each.measure == measure and stat in (None, each.stat) and each.value is not None:
            return each
    return None
