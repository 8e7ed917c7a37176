"""Draw the panels of the dashboard: the axis that all slices share, lines, stacks, marks, and texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from evalkit.core.format import format_value
from evalkit.core.safe_text import one_line
from evalkit.report.html.axis import Axis, fit_axis
from evalkit.report.html.axis_labels import tick_text
from evalkit.report.html.time_plot import (
    TOP_PX,
    PlacedBar,
    PlacedPoint,
    TimeLine,
    TimeMark,
    TimeScale,
    TimeValue,
    join_neighbors,
    place_marks,
    place_steps,
)
from evalkit.report.html.views import true_minus
from evalkit.traffic.dashboard_records import (
    DashboardPanel,
    PanelAxis,
    PanelChange,
    PanelLine,
    PanelValue,
)

PanelScale = TimeScale
PanelView: TypeAlias = dict[str, Any]
"""The texts of a panel and the positions in its plot, for the template."""
MIN_REQUESTS = 5
"""The fewest requests of a step whose value is drawn."""
_HEIGHT_PX = 92.0
_MAX_NAME_CHARS = 28
_DOTTED = re.compile(r"\w+(?:\.\w+)+")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
NO_DATA = "no data"


class PlacedLine(NamedTuple):
    """The points of a line in pixels; the name is a class of the style sheet."""

    name: str
    points: list[PlacedPoint | None]


class PlacedPanel(NamedTuple):
    """What a panel draws for one slice."""

    lines: list[PlacedLine]
    bars: list[PlacedBar]
    columns: range


def fit_panel(panels: Sequence[DashboardPanel], *, with_intervals: bool) -> PanelScale:
    """Return the scale of a panel of one or of several slices, which can then be compared."""
    shown: list[float | None] = []
    for panel in panels:
        if panel.whole is not None:
            shown += [0.0, *(sum(step) for step in zip(*_stack_values(panel), strict=True))]
            continue
        for each in (each for line in panel.lines for each in line.steps if _is_drawn(each)):
            if each is not None:
                shown += [each.value, *((each.low, each.high) if with_intervals else ())]
    is_share = not panels[0].unit
    axis = fit_axis(shown, least=0.0, most=1.0 if is_share else None)
    # Counts, times, and costs start at 0, so that a step of 3 % does not look like a fall to nothing.
    low = axis.low if is_share and panels[0].whole is None else 0.0
    return TimeScale(Axis(low, axis.high), _HEIGHT_PX)


def list_ticks(panel: DashboardPanel, scale: PanelScale) -> list[tuple[float, str]]:
    """Return the labels of the axis of a panel with their distances from the top."""
    return scale.ticks(partial(tick_text, unit=panel.unit))


def place_panel(panel: DashboardPanel, scale: PanelScale) -> PlacedPanel:
    """Return where the lines or the stack of a panel lie."""
    columns = range(len(panel.lines[0].steps) if panel.lines else 0)
    if panel.whole is not None:
        return PlacedPanel([], list(scale.stack(_stack_values(panel))), columns)
    return PlacedPanel(
        [PlacedLine(line.name, scale.place(_time_line(line))) for line in panel.lines], [], columns
    )


def draw_panel(panel: DashboardPanel, scale: PanelScale, axis: PanelAxis) -> PanelView:
    """Return the view of a panel of all traffic."""
    placed = place_panel(panel, scale)
    columns = len(axis.names)
    marks = [TimeMark(x, short_name(version), "version") for x, version in axis.starts]
    changes = [TimeMark(each.step / columns, "", "change") for each in panel.changes]
    labels_y, step_labels = place_steps(axis.labels, scale)
    return {
        "name": panel.name,
        "title": panel.title,
        "label": _finding(panel, axis),
        "now": now_text(panel),
        "about": about_text(panel),
        "top": TOP_PX,
        "bottom": scale.bottom,
        "total": labels_y + 5,
        "labels_y": labels_y,
        "ticks": list_ticks(panel, scale),
        "stripes": [
            (index / columns, (index + 1) / columns)
            for index, is_weekend in enumerate(axis.weekend)
            if is_weekend
        ],
        "midnights": axis.midnights,
        "marks": [*marks, *changes],
        "mark_labels": place_marks(marks),
        "step_labels": step_labels,
        "bars": placed.bars,
        "lines": [_line_view(line, columns) for line in placed.lines],
        "texts": [step_text(panel, index) for index in range(columns)],
        "names": axis.names,
        "key": _key(panel),
        "changes": [_change_text(panel, each, axis) for each in panel.changes],
    }


def short_name(name: str) -> str:
    """Return a name that fits a plot: 8 characters of a commit, and of a type of error its last word."""
    if _COMMIT.fullmatch(name):
        return name[:8]
    if len(name) > _MAX_NAME_CHARS and _DOTTED.fullmatch(name):
        name = name.rpartition(".")[2]
    return one_line(name, _MAX_NAME_CHARS)


def panel_text(value: float, unit: str) -> str:
    """Return a value with its unit; counts are whole numbers, whose unit is in their title."""
    if unit in ("requests", "tokens"):
        return f"{value:,.0f}"
    return true_minus(format_value(value, unit))


def show_value(value: PanelValue | None, unit: str) -> str:
    """Return a value with its interval."""
    if value is None:
        return NO_DATA
    if value.low is None or value.high is None:
        return panel_text(value.value, unit)
    return f"{panel_text(value.value, unit)} ({show_interval(value, unit)})"


def show_interval(value: PanelValue, unit: str) -> str:
    """Return the interval of a value that has one."""
    if value.low is None or value.high is None:
        return ""
    low = panel_text(value.low, unit).removesuffix("%").removesuffix(f" {unit}")
    return f"{low} to {panel_text(value.high, unit)}"


def now_text(panel: DashboardPanel) -> str:
    """Return the values of a panel in the whole time, without intervals."""
    named = [
        f"{line.name} {panel_text(line.total.value, panel.unit)}".strip()
        for line in panel.shown
        if line.total is not None
    ]
    return ", ".join(named) or NO_DATA


def about_text(panel: DashboardPanel) -> str:
    """Return the interval of a panel, the requests in which it is known, and what else is to be said.

    Of several percentiles, the interval is that of the one in the middle.
    """
    lines = [line for line in panel.shown if line.total is not None]
    if not lines:
        return panel.about
    line = lines[len(lines) // 2]
    if (total := line.total) is None:
        return panel.about
    interval = show_interval(total, panel.unit)
    parts = (
        f"{line.name} {interval}".strip() if interval else "",
        # Of the number of requests, it is the value itself.
        f"of {total.requests:,}" if total.value != total.requests else "",
        panel.about,
    )
    return ", ".join(filter(None, parts))


def step_text(panel: DashboardPanel, index: int) -> str:
    """Return the values of a panel in one step, with those of the parts of a stack."""
    unit = panel.unit
    named = [
        f"{line.name} {show_value(line.steps[index], unit)}".strip()
        for line in panel.shown
        if line.steps[index] is not None
    ]
    if panel.whole and len(panel.lines) > 1:
        parts = [
            f"{line.name} {panel_text(value.value, unit)}"
            for line in panel.lines
            if (value := line.steps[index]) and value.value
        ]
        named += [f"of which {', '.join(parts)}"] if parts else []
    return ", ".join(named) or NO_DATA


def _is_drawn(value: PanelValue | None) -> bool:
    return value is not None and value.requests >= MIN_REQUESTS


def _time_line(line: PanelLine) -> TimeLine:
    return TimeLine(
        line.name,
        [
            TimeValue(each.value, each.low, each.high) if each and _is_drawn(each) else None
            for each in line.steps
        ],
    )


def _stack_values(panel: DashboardPanel) -> list[list[float]]:
    return [
        [each.value if each and (panel.unit or _is_drawn(each)) else 0.0 for each in line.steps]
        for line in panel.lines
    ]


def _line_view(line: PlacedLine, columns: int) -> PanelView:
    points = [(index, each) for index, each in enumerate(line.points) if each is not None]
    return {
        "name": line.name,
        "intervals": [
            ((index + 0.5) / columns, each.high_y, each.low_y)
            for index, each in points
            if each.high_y is not None and each.low_y is not None
        ],
        "segments": list(join_neighbors(line.points)),
        "dots": [((index + 0.5) / columns, each.y) for index, each in points],
    }


def _key(panel: DashboardPanel) -> list[tuple[str, str]]:
    if len(panel.lines) < 2:
        return []
    if panel.whole is not None:
        return [
            (f"part{number}", short_name(line.name))
            for number, line in enumerate(panel.lines, start=1)
        ]
    return [(line.name, line.name) for line in panel.lines]


def _change_text(panel: DashboardPanel, change: PanelChange, axis: PanelAxis) -> str:
    by = f" with {short_name(change.version)}" if change.version else ""
    line = f"{panel.lines[min(1, len(panel.lines) - 1)].name} " if len(panel.shown) > 1 else ""
    return (
        f"Changed {axis.names[change.step]}{by}: {line}{panel_text(change.before, panel.unit)} before, "
        f"{panel_text(change.after, panel.unit)} after"
    )


def _finding(panel: DashboardPanel, axis: PanelAxis) -> str:
    """Return what a plot shows, as a sentence for readers who do not see it."""
    steps = [
        each.value for line in panel.shown[:1] for each in line.steps if each and _is_drawn(each)
    ]
    span = (
        f"{panel_text(min(steps), panel.unit)} to {panel_text(max(steps), panel.unit)}"
        if steps
        else NO_DATA
    )
    changes = [_change_text(panel, each, axis) for each in panel.changes]
    return "; ".join([f"{panel.title} by {axis.step}: {now_text(panel)}, each {span}", *changes])
