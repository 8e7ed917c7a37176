"""Lay out values over time: a column for each step, intervals, gaps, and marks of what happened when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from evalkit.report.html.axis import Axis, AxisTick
from evalkit.report.html.axis_labels import SMALL_WIDTHS, AxisLabel, place_labels

TOP_PX = 20.0
"""The space above a plot for the names of its marks."""
_LABEL_PX = 17.0


class TimeValue(NamedTuple):
    """The value of one step, and its interval if it has one."""

    value: float
    low: float | None = None
    high: float | None = None


class TimeLine(NamedTuple):
    """The values of a line, one for each step; None where there is no data."""

    name: str
    values: Sequence[TimeValue | None]


class TimeMark(NamedTuple):
    """A moment that a plot marks, as a share of its width: the first request of a version, or a change."""

    x: float
    text: str
    kind: str


class PlacedPoint(NamedTuple):
    """Where a value lies, in pixels from the top, with the ends of its interval."""

    y: float
    high_y: float | None
    low_y: float | None


class PlacedBar(NamedTuple):
    """One part of the stack of a step: `kind` numbers the part from 1 on."""

    x: float
    width: float
    y: float
    height: float
    kind: int


class TimeScale(NamedTuple):
    """Converts values to pixels from the top of a plot of a height."""

    axis: Axis
    height: float

    @property
    def bottom(self) -> float:
        """The distance of the axis from the top, in pixels."""
        return TOP_PX + self.height

    def y(self, value: float) -> float:
        """Return the distance of a value from the top, in pixels."""
        return round(self.bottom - self.height * self.axis.place(value), 1)

    def ticks(self, show: Callable[[float], str]) -> list[tuple[float, str]]:
        """Return the labels of the axis with their distances from the top."""
        return [(self.y_of_share(tick), tick.text) for tick in self.axis.ticks(show, 3)]

    def y_of_share(self, tick: AxisTick) -> float:
        """Return the distance of a tick from the top, in pixels."""
        return round(self.bottom - tick.x * self.height, 1)

    def place(self, line: TimeLine) -> list[PlacedPoint | None]:
        """Return where the values of a line lie."""
        return [
            None
            if each is None
            else PlacedPoint(
                self.y(each.value),
                None if each.high is None else self.y(each.high),
                None if each.low is None else self.y(each.low),
            )
            for each in line.values
        ]

    def stack(self, parts: Sequence[Sequence[float]]) -> Iterator[PlacedBar]:
        """Yield bars of parts upon each other, for each step the values of `parts` in order."""
        steps = len(parts[0]) if parts else 0
        for step in range(steps):
            total = 0.0
            for kind, part in enumerate(parts, start=1):
                top = total + part[step]
                if part[step] > 0:
                    y = self.y(top)
                    width = 0.8 / steps
                    x = (step + 0.1) / steps
                    yield PlacedBar(x, width, y, round(self.y(total) - y, 1), kind)
                total = top


def join_neighbors(
    points: Sequence[PlacedPoint | None],
) -> Iterator[tuple[float, float, float, float]]:
    """Yield lines between neighboring points; a step without data interrupts the line."""
    columns = len(points)
    for index, (one, other) in enumerate(pairwise(points)):
        if one is not None and other is not None:
            yield (index + 0.5) / columns, one.y, (index + 1.5) / columns, other.y


def place_steps(steps: Sequence[str], scale: TimeScale) -> tuple[float, list[AxisLabel]]:
    """Return the labels below a plot and their distance from the top; equal neighbors have one label."""
    columns = max(len(steps), 1)
    texts: list[tuple[float, str]] = []
    start = 0
    for index in range(1, len(steps) + 1):
        if index == len(steps) or steps[index] != steps[start]:
            texts.append(((start + index) / 2 / columns, steps[start]))
            start = index
    return scale.bottom + _LABEL_PX, place_labels(texts, SMALL_WIDTHS)


def place_marks(marks: Sequence[TimeMark]) -> list[AxisLabel]:
    """Return the names of the marks above a plot, as far as they have space."""
    return place_labels(sorted((mark.x, mark.text) for mark in marks if mark.text), SMALL_WIDTHS)
