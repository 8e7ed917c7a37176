"""Compute where values lie on the axis of a plot, as shares of its width, and the ticks of the axis.

The templates in `plots.html.j2` draw plots as SVG, with x in percent and y in pixels: a plot fills its
column at any width, and its text keeps its size. Plotting libraries were measured on 2026-11-30 and not
used: pages must be one printable file with a policy that allows no inline style, and be readable without
scripts. Matplotlib and pygal write inline styles and fixed colors; plotly, uPlot, and Observable Plot need
scripts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import NamedTuple

_STEPS = (1.0, 2.0, 2.5, 5.0)


class AxisTick(NamedTuple):
    """A labeled position on an axis; `x` is a share of its length, from 0 to 1."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Axis:
    """The range of an axis, in the unit of its values."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Return the position of a value as a share of the axis; values outside of it lie at its ends."""
        if self.high <= self.low:
            return 0.5
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def ticks(self, show: Callable[[float], str], most: int = 5) -> tuple[AxisTick, ...]:
        """Return at most `most` ticks at round values, at least two of them if the axis has a length."""
        reach = self.high - self.low
        if reach <= 0 or most < 2:
            return (AxisTick(0.5, show(self.low)),)
        for step in _round_steps(reach / (most + 1)):
            first, last = ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9)
            if last - first < most:
                break
        values = [index * step for index in range(first, last + 1)]
        if len(values) < 2:
            values = [self.low, self.high]
        return tuple(AxisTick(self.place(value), show(value)) for value in values)


SHARES = Axis(0.0, 1.0)
"""The axis of shares, from 0 % to 100 %."""


def fit_axis(
    values: Iterable[float | None],
    *,
    least: float | None = None,
    most: float | None = None,
    margin: float = 0.08,
) -> Axis:
    """Return an axis with all finite values and a margin at both ends.

    Args:
        values: everything that the plot must show, in one unit: values, bounds of intervals, limits, and
            baselines. None and values that are not finite are ignored.
        least: the smallest possible value, which the margin does not pass; None if there is none.
        most: the largest possible value.
        margin: the margin at each end, as a share of the range of the values.
    """
    known = [value for value in values if value is not None and isfinite(value)]
    if not known:
        return Axis(least or 0.0, 1.0 if most is None else most)
    low, high = min(known), max(known)
    pad = (high - low) * margin or abs(high) * margin or margin
    low, high = low - pad, high + pad
    return Axis(
        low if least is None else max(low, least), high if most is None else min(high, most)
    )


def _round_steps(least: float) -> Iterator[float]:
    """Yield the round numbers from `least` on, in ascending order."""
    power = 10.0 ** floor(log10(least))
    while True:
        yield from (step * power for step in _STEPS if step * power >= least)
        power *= 10.0
