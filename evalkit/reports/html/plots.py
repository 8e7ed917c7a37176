"""Small drawings in SVG: an interval against its limit, two sides' values as strips, spans in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, log10

from evalkit.reports.html.markup import Html, join, tag

_WIDTH = 220.0
_PAD = 8.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """What an axis spans, and where on it a value is drawn."""

    low: float
    high: float
    is_log: bool = False

    def place(self, value: float) -> float:
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
    axis = Range(low=min(marks) - reach * 0.08, high=max(marks) + reach * 0.08)
    parts = [tag("line", x1=_PAD, x2=_WIDTH - _PAD, y1=12, y2=12, class_="axis")]
    if zero:
        parts.append(_tick(axis.place(0.0), "zero"))
    if limit is not None:
        parts.append(_tick(axis.place(limit), "limit"))
    ends = [axis.place(bound) for bound in known] if len(known) == 2 else []
    if ends:
        parts.append(tag("line", x1=ends[0], x2=ends[1], y1=12, y2=12, class_="interval"))
    parts.append(tag("circle", cx=axis.place(value), cy=12, r=4, class_="dot"))
    return _drawing(parts, 24, label)


def _tick(x: float, name: str) -> Html:
    return tag("line", x1=x, x2=x, y1=3, y2=21, class_=name)


def strips_plot(
    sides: Sequence[tuple[str, Sequence[float]]], *, is_log: bool, label: str
) -> tuple[Html, Range]:
    """The values of each side as a strip of marks, their median bold, on one axis."""
    values = [value for _, side in sides for value in side]
    axis = Range(low=min(values), high=max(values), is_log=is_log)
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
        middle = axis.place(sorted(side)[len(side) // 2])
        parts.append(tag("line", x1=middle, x2=middle, y1=top, y2=top + 14, class_="median"))
    return _drawing(parts, 18 * len(sides) + 6, label), axis


def _bins(values: Sequence[float], axis: Range) -> dict[float, int]:
    counts: dict[float, int] = {}
    for value in values:
        x = 4.0 * int(axis.place(value) // 4)
        counts[x] = counts.get(x, 0) + 1
    return counts


def _drawing(parts: Sequence[Html], height: float, label: str) -> Html:
    return tag(
        "svg",
        tag("title", label),
        join(parts),
        viewBox=f"0 0 {_WIDTH:g} {height:g}",
        width=_WIDTH,
        height=height,
        role="img",
        aria_label=label,
    )
