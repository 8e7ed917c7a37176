"""Find the times at which measures of traffic changed their level."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from evalkit.traffic.measures import Stat
from evalkit.traffic.report_record import ChangePoint, Group, Timeline

_Z = 1.645
"""The distance of a bound from its value, in standard errors."""
_ROUNDING = 0.002
"""Standard errors are at least this share of the largest value, because smaller changes do not matter."""
_MIRRORED = ("error_rate", "feedback_rate")
"""Measures that say nothing on their own: errors mirror success, and ratings are rare."""


def find_changes(
    timeline: Timeline, versions: Sequence[Group], step_s: int
) -> tuple[ChangePoint, ...]:
    """Return the times at which the measures of a timeline changed their level, in order."""
    found: list[ChangePoint] = []
    series = _collect_series(timeline)
    for (measure, stat), points in series.items():
        for before, after, step in _find_levels(points, step_s, len(series)):
            at = timeline.steps[step].start
            version = _first_served(versions, at, step_s)
            found.append(
                ChangePoint(
                    measure=measure, stat=stat, at=at, before=before, after=after, version=version
                )
            )
    return tuple(sorted(found, key=lambda change: change.at))


class _Point(NamedTuple):
    step: int
    value: float
    error: float


def _collect_series(timeline: Timeline) -> dict[tuple[str, Stat], list[_Point]]:
    series: dict[tuple[str, Stat], list[_Point]] = {}
    for number, step in enumerate(timeline.steps):
        for each in step.estimates:
            if each.value is None or each.stat == "p99" or each.measure in _MIRRORED:
                continue
            error = 0.0
            if each.low is not None and each.high is not None:
                error = (each.high - each.low) / (2 * _Z)
            elif each.stat == "mean":
                continue
            series.setdefault((each.measure, each.stat), []).append(
                _Point(number, each.value, error)
            )
    return series


def _find_levels(
    points: Sequence[_Point], step_s: int, series: int
) -> Iterator[tuple[float, float, int]]:
    """Yield the level before, the level after, and the step of each change."""
    import numpy as np  # noqa: PLC0415

    from evalkit.stats.change_points import find_change_points  # noqa: PLC0415

    values = np.array([point.value for point in points])
    errors = np.array([point.error for point in points])
    least = float(errors[errors > 0].min()) if np.any(errors > 0) else 0.0
    # Percentiles over time have no intervals: how much neighbors differ says how certain they are.
    spread = float(np.median(np.abs(np.diff(values)))) if values.size > 1 else 0.0
    # Nor is a difference in the last digits of a sum a change.
    least = max(least or spread / 2, _ROUNDING * float(np.abs(values).max()), 1e-12)
    errors = np.maximum(errors, least)
    is_complete = all(point.step == points[0].step + number for number, point in enumerate(points))
    period = {86_400: 7}.get(step_s, 86_400 // step_s if step_s < 86_400 else 0)
    bounds = find_change_points(values, errors, period=period if is_complete else 0, series=series)
    edges = [0, *bounds, values.size]
    for begin, at, end in zip(edges, bounds, edges[2:], strict=False):
        yield float(values[begin:at].mean()), float(values[at:end].mean()), points[at].step


def _first_served(versions: Sequence[Group], at: str, step_s: int) -> str:
    """Return the version that first served in the step of this time or in the one before."""
    begin = datetime.fromisoformat(at).timestamp()
    for version in versions[1:]:
        first = datetime.fromisoformat(version.first).timestamp()
        if begin - step_s <= first < begin + step_s:
            return version.name
    return ""
