"""Small drawings in SVG: an interval against its limit, two sides' values as strips, spans in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite, log10

from evalkit.report.html.markup import Html, join, tag

_WIDTH = 220.0
_PAD = 8.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """What an axis spans, and where on it a value is drawn."""

    low: float
    high: float
    is_log: bool = False

    def position_px(self, value: float) -> float:
        """Pixels from the left of a drawing `_WIDTH` wide."""
        low, high, at = (self._scale(each) for each in (self.low, self.high, value))
        share = (at - low) / (high - low) if high > low else 0.5
        return _PAD + min(1.0, max(0.0, share)) * (_WIDTH - 2 * _PAD)

    def _scale(self, value: float) -> float:
        return log10(max(value, 1e-9)) if self.is_log else value


def interval_plot(  # noqa: PLR0913 - what is drawn
    *,
    low: float | None,
    high: float | None,
    value: float,
    limit: float | None,
    label: str,
    zero: bool,
) -> Html:
    """A value with its interval on an axis that holds its limit, and zero where that means no change."""
    known = [bound for bound in (low, high) if bound is not None and isfinite(bound)]
    marks = [value, *known, *([limit] if limit is not None else []), *([0.0] if zero else [])]
    reach = (max(marks) - min(marks)) or abs(value) or 1.0
    axis = Axis(low=min(marks) - reach * 0.08, high=max(marks) + reach * 0.08)
    parts = [tag("line", x1=_PAD, x2=_WIDTH - _PAD, y1=12, y2=12, class_="axis")]
    if zero:
        parts.append(_tick(axis.position_px(0.0), "zero"))
    if limit is not None:
        parts.append(_tick(axis.position_px(limit), "limit"))
    ends = [axis.position_px(bound) for bound in known] if len(known) == 2 else []
    if ends:
        parts.append(tag("line", x1=ends[0], x2=ends[1], y1=12, y2=12, class_="interval"))
    parts.append(tag("circle", cx=axis.position_px(value), cy=12, r=4, class_="dot"))
    return _drawing(parts, 24, label)


def _tick(x: float, name: str) -> Html:
    return tag("line", x1=x, x2=x, y1=3, y2=21, class_=name)


def strips_plot(
    sides: Sequence[tuple[str, Sequence[float]]], *, is_log: bool, label: str
) -> tuple[Html, Axis]:
    """The values of each side as a strip of marks, their median bold, on one axis."""
    values = [value for _, side in sides for value in side]
    axis = Axis(low=min(values), high=max(values), is_log=is_log)
    parts = []
    for row, (name, side) in enumerate(sides):
        top = 4 + 18 * row
        bars = _bins(side, axis)
        most = max(bars.values(), default=1)
        parts += [
            tag(
                "rect",
                x=x,
                width=3,
                y=top + 14 - 14 * count / most,
                height=14 * count / most,
                class_=f"bar {name}",
            )
            for x, count in sorted(bars.items())
        ]
        middle = axis.position_px(sorted(side)[len(side) // 2])
        parts.append(tag("line", x1=middle, x2=middle, y1=top, y2=top + 14, class_="median"))
    return _drawing(parts, 18 * len(sides) + 6, label), axis


def _bins(values: Sequence[float], axis: Axis) -> dict[float, int]:
    counts: dict[float, int] = {}
    for value in values:
        x = 4.0 * int(axis.position_px(value) // 4)
        counts[x] = counts.get(x, 0) + 1
    return counts


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One value of a series, its interval if it has one, and a mark where it is not like the one before."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    mark: str = ""


_LINE_WIDTH, _LINE_HEIGHT = 560.0, 120.0


def line_plot(
    points: Sequence[Point], *, label: str, zero_to_one: bool, show: Callable[[float], str]
) -> Html:
    """Values in order as a line over a band of their intervals; what is unknown leaves a gap."""
    known = [
        value
        for point in points
        for value in (point.value, point.low, point.high)
        if value is not None and isfinite(value)
    ]
    low, high = (0.0, 1.0) if zero_to_one else (min([0.0, *known]), max(known, default=1.0))

    def x_of(index: int) -> float:
        return _PAD + index * (_LINE_WIDTH - 2 * _PAD) / max(len(points) - 1, 1)

    def y_of(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return round(_LINE_HEIGHT - _PAD - share * (_LINE_HEIGHT - 2 * _PAD), 2)

    parts = [
        tag("text", show(bound), x=2, y=y, class_="bound")
        for bound, y in ((high, 10), (low, _LINE_HEIGHT - 1))
    ]
    for index, point in enumerate(points):
        x = x_of(index)
        if point.mark:
            parts.append(tag("line", x1=x, x2=x, y1=0, y2=_LINE_HEIGHT, class_="limit"))
        if point.low is not None and point.high is not None:
            ends = {"y1": y_of(point.low), "y2": y_of(point.high)}
            parts.append(tag("line", x1=x, x2=x, class_="spread", **ends))
    for first, second in pairwise(range(len(points))):
        before, after = points[first].value, points[second].value
        if before is not None and after is not None:
            ends = {"y1": y_of(before), "y2": y_of(after)}
            parts.append(tag("line", x1=x_of(first), x2=x_of(second), class_="series", **ends))
    for index, point in enumerate(points):
        if point.value is not None:
            title = tag("title", f"{point.label} {point.mark}".strip())
            parts.append(
                tag(
                    "g",
                    title,
                    tag("circle", cx=x_of(index), cy=y_of(point.value), r=3.5, class_="dot"),
                )
            )
    return _drawing(parts, _LINE_HEIGHT, label, width=_LINE_WIDTH)


def _drawing(parts: Sequence[Html], height: float, label: str, width: float = _WIDTH) -> Html:
    return tag(
        "svg",
        tag("title", label),
        join(parts),
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
        role="img",
        aria_label=label,
    )
