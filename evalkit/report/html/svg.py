"""Compute the geometry of the plots, which templates draw as SVG.

This module does not use a plotting library, because a page must be one printable file below 1 MB with a
strict policy. Measured for one interval plot on 2026-11-30:

| | size of a plot | import | page under the policy | dark mode, print |
| --- | --- | --- | --- | --- |
| this module | 0.5 kB | 0.01 s | yes: classes only | colors come from `page.css` |
| matplotlib 3 (SVG) | 2.2 kB | 0.8 s | no: `style` attributes, `<style>`; ids collide | fixed colors |
| pygal 3 | 15.8 kB | 0.1 s | no: inline style and script, and one URL | fixed colors |
| plotly 6 | 4.8 MB, then 7 kB | 0.1 s | no: script and `style` attributes | blank without script |

A report has 50 to 100 plots of three kinds, all of lines, rectangles, and circles. Their scales are
about 100 lines of arithmetic. A library would add 40 to 60 MB to the installation. It would also need a
policy that allows inline styles, and forbidding these keeps data from changing the page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite, log10
from typing import Any, NamedTuple, TypeAlias

Plot: TypeAlias = dict[str, Any]
"""The view of a plot, with every position in pixels."""

_WIDTH = 220.0
_LINE_WIDTH, _LINE_HEIGHT = 560.0, 120.0
_PAD = 8.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Axis:
    """The range of an axis, linear or logarithmic."""

    low: float
    high: float
    is_log: bool = False

    def position_px(self, value: float) -> float:
        """Return the distance of a value from the left of a plot that is `_WIDTH` wide."""
        low, high, at = (self._scale(each) for each in (self.low, self.high, value))
        share = (at - low) / (high - low) if high > low else 0.5
        return _PAD + min(1.0, max(0.0, share)) * (_WIDTH - 2 * _PAD)

    def _scale(self, value: float) -> float:
        return log10(max(value, 1e-9)) if self.is_log else value


def interval_plot(
    label: str,
    value: float,
    bounds: tuple[float | None, float | None],
    limit: float | None,
    *,
    has_zero: bool,
) -> Plot:
    """Place a value and its interval on an axis that includes the limit and, with `has_zero`, zero."""
    known = [bound for bound in bounds if bound is not None and isfinite(bound)]
    marks = [value, *known, *([limit] if limit is not None else []), *([0.0] if has_zero else [])]
    reach = (max(marks) - min(marks)) or abs(value) or 1.0
    # Add a margin, so that marks at the ends are drawn in full.
    axis = _Axis(low=min(marks) - reach * 0.08, high=max(marks) + reach * 0.08)
    return {
        "label": label,
        "value": axis.position_px(value),
        # One bound alone is not an interval.
        "interval": [axis.position_px(bound) for bound in known] if len(known) == 2 else None,
        "limit": None if limit is None else axis.position_px(limit),
        "zero": axis.position_px(0.0) if has_zero else None,
    }


def strips_plot(label: str, sides: Sequence[tuple[str, Sequence[float]]], *, is_log: bool) -> Plot:
    """Place the values of each side as a strip of bars, one strip below the other."""
    values = [value for _, side in sides for value in side]
    axis = _Axis(low=min(values), high=max(values), is_log=is_log)
    strips = []
    for row, (name, side) in enumerate(sides):
        top = 4 + 18 * row
        # Bars are 3 pixels wide with a gap of 1 pixel.
        counts = Counter(4.0 * int(axis.position_px(value) // 4) for value in side)
        heights = {x: 14 * count / max(counts.values()) for x, count in sorted(counts.items())}
        strips.append(
            {
                "side": name,
                "bars": [(x, top + 14 - height, height) for x, height in heights.items()],
                "median": axis.position_px(sorted(side)[len(side) // 2]),
                "top": top,
            }
        )
    return {"label": label, "strips": strips, "low": axis.low, "high": axis.high}


class Point(NamedTuple):
    """One value of a series with its interval; `mark` says what was measured differently before it."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    mark: str = ""


def line_plot(
    label: str, points: Sequence[Point], *, is_share: bool, show: Callable[[float], str]
) -> Plot:
    """Place values in order over the bars of their intervals; an unknown value leaves a gap."""
    known = [
        value
        for point in points
        for value in (point.value, point.low, point.high)
        if value is not None and isfinite(value)
    ]
    low, high = (0.0, 1.0) if is_share else (min([0.0, *known]), max(known, default=1.0))
    step = (_LINE_WIDTH - 2 * _PAD) / max(len(points) - 1, 1)

    def y_of(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return round(_LINE_HEIGHT - _PAD - share * (_LINE_HEIGHT - 2 * _PAD), 2)

    placed = [(_PAD + index * step, point) for index, point in enumerate(points)]
    return {
        "label": label,
        "top": show(high),
        "bottom": show(low),
        "marks": [x for x, point in placed if point.mark],
        "spreads": [
            (x, y_of(point.low), x, y_of(point.high))
            for x, point in placed
            if point.low is not None and point.high is not None
        ],
        "lines": [
            (x1, y_of(one.value), x2, y_of(other.value))
            for (x1, one), (x2, other) in pairwise(placed)
            if one.value is not None and other.value is not None
        ],
        "dots": [
            (f"{point.label} {point.mark}".strip(), x, y_of(point.value))
            for x, point in placed
            if point.value is not None
        ],
    }
