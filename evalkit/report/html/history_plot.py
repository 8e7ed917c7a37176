"""Lay out the plot of a series: a column for each run, a fitted scale, limits, and labels that do not overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby, pairwise
from typing import Any, NamedTuple, TypeAlias

from evalkit.report.history_content import Series
from evalkit.report.history_points import SeriesPoint
from evalkit.report.html.axis import Axis, fit_axis
from evalkit.report.html.axis_labels import LABEL_GAP_PX, LETTER_PX, WIDTHS, tick_text

PlotView: TypeAlias = dict[str, Any]
"""The positions in a plot: x as a share of its width, y in pixels."""

_TOP = 8.0


def plot_series(series: Series, height: float, breaks: Sequence[bool]) -> PlotView:
    """Place the points of a series, one column each, with their limits and baselines.

    Args:
        series: the series; its axis has all values, intervals, limits and baselines.
        height: the height of the plot without its labels, in pixels.
        breaks: for each point, whether it was measured differently than the one before it.
    """
    points = series.points
    axis = fit_series(series)
    bottom = _TOP + height
    scale = _Scale(axis, height)
    columns = len(points)
    return {
        "height": bottom + 4,
        "bottom": bottom,
        "top": _TOP,
        "ticks": [
            (bottom - tick.x * height, tick.text)
            for tick in axis.ticks(partial(tick_text, unit=series.unit), 5 if height > 150 else 3)
        ],
        "zones": list(_find_zones(points, scale)),
        "limits": [
            *_find_steps(points, scale, "lower"),
            *_find_steps(points, scale, "upper"),
        ],
        "baselines": list(_find_steps(points, scale, "baseline")),
        "breaks": [index / columns for index, broken in enumerate(breaks) if broken and index],
        "segments": list(_find_segments(points, scale, breaks)),
        "marks": [
            {
                "x": _center(index, columns),
                "y": scale.y(point.value),
                "outcome": point.outcome or "neutral",
                "interval": None
                if point.low is None or point.high is None
                else (scale.y(point.low), scale.y(point.high)),
            }
            for index, point in enumerate(points)
            if point.value is not None
        ],
        "fitted": f"{series.show(axis.low)} to {series.show(axis.high)}",
    }


def fit_series(series: Series) -> Axis:
    """Return the axis of a series: fitted to its values and intervals, and never without its limits."""
    shown = [
        value
        for point in series.known
        for value in (point.value, point.low, point.high, point.lower, point.upper, point.baseline)
    ]
    values = [value for value in shown if value is not None]
    is_share = not series.unit and all(0 <= value <= 1 for value in values)
    least = 0.0 if min(values, default=0.0) >= 0 else None
    return fit_axis(values, least=least, most=1.0 if is_share else None)


class _Scale(NamedTuple):
    """Converts a value to a distance from the top of the plot, in pixels."""

    axis: Axis
    height: float

    def y(self, value: float) -> float:
        return round(_TOP + self.height * (1 - self.axis.place(value)), 2)


def _center(index: int, columns: int) -> float:
    return (index + 0.5) / columns


def fill_gaps(values: Sequence[float | None]) -> list[float | None]:
    """Return the values, of which unknown ones are those of the next known point, else of the last one.

    A run without a threshold, such as a recorded baseline, does not interrupt the line of a limit.
    """
    filled = list(values)
    for order in (range(len(filled) - 2, -1, -1), range(1, len(filled))):
        step = 1 if order.step < 0 else -1
        for index in order:
            if filled[index] is None:
                filled[index] = filled[index + step]
    return filled


def _find_steps(
    points: Sequence[SeriesPoint], scale: _Scale, name: str
) -> Iterator[tuple[float, float, float]]:
    """Yield where a line starts and ends, and its height, for each stretch of equal values."""
    start, columns = 0, len(points)
    for value, stretch in groupby(fill_gaps([getattr(point, name) for point in points])):
        end = start + len(list(stretch))
        if value is not None:
            yield start / columns, end / columns, scale.y(value)
        start = end


def _find_zones(
    points: Sequence[SeriesPoint], scale: _Scale
) -> Iterator[tuple[float, float, float, float]]:
    """Yield the parts of the plot that a limit forbids: from x to x, from y to y."""
    for x1, x2, y in _find_steps(points, scale, "lower"):
        yield x1, x2, y, _TOP + scale.height
    for x1, x2, y in _find_steps(points, scale, "upper"):
        yield x1, x2, _TOP, y


def _find_segments(
    points: Sequence[SeriesPoint], scale: _Scale, breaks: Sequence[bool]
) -> Iterator[tuple[float, float, float, float]]:
    """Yield lines between neighbors that were measured in the same way."""
    columns = len(points)
    for (index, one), (_, other) in pairwise(enumerate(points)):
        if one.value is None or other.value is None or breaks[index + 1]:
            continue
        yield (
            _center(index, columns),
            scale.y(one.value),
            _center(index + 1, columns),
            scale.y(other.value),
        )


def find_label_place(view: PlotView, y: float, text: str) -> float | None:
    """Return a share of the width from which a text above a line at `y` covers no mark, or None.

    The text is at most this wide on all screens on which labels are shown in the plot.
    """
    width = (len(text) * LETTER_PX + LABEL_GAP_PX) / WIDTHS[1].pixels
    columns = max(len(view["marks"]), 1)
    top, bottom = y - 20, y + 3
    starts = [index / columns for index in range(columns)]
    for start in (0.01, *starts):
        covered = [
            mark
            for mark in view["marks"]
            if start - 0.02 <= mark["x"] <= start + width + 0.02 and _overlaps(mark, top, bottom)
        ]
        crossed = [
            line
            for line in view["segments"]
            if line[2] >= start
            and line[0] <= start + width
            and min(line[1], line[3]) <= bottom
            and max(line[1], line[3]) >= top
        ]
        if start + width <= 1 and not covered and not crossed and top > view["top"]:
            return start
    return None


def _overlaps(mark: dict[str, Any], top: float, bottom: float) -> bool:
    ends = mark["interval"] or (mark["y"], mark["y"])
    high, low = min(*ends, mark["y"] - 7), max(*ends, mark["y"] + 7)
    return bool(high <= bottom and low >= top)
