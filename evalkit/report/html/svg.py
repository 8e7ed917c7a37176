"""Compute the geometry of the line plots of the history page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import isfinite
from typing import Any, NamedTuple, TypeAlias

Plot: TypeAlias = dict[str, Any]
"""The view of a plot, with every position in pixels."""

_LINE_WIDTH, _LINE_HEIGHT = 560.0, 120.0
_PAD = 8.0


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
