"""Turn the metrics of a run into rows, with a distribution only where it says something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from math import log10
from typing import Any

from evalkit.core.gate_result import MetricChange
from evalkit.core.run import Run
from evalkit.report import content
from evalkit.report.case_status import metric_values
from evalkit.report.html.axis import Axis
from evalkit.report.html.views import true_minus
from evalkit.report.model import Report

_MAX_METRICS = 40
_MIN_VALUES = 8
_MIN_DIFFERENT = 5
"""A distribution of fewer different values, such as passes and failures, says no more than its mean."""
_BINS = 40
_STRIP_HEIGHT = 14


def metric_views(report: Report) -> list[dict[str, Any]]:
    """Return a row for each metric, those that got worse first, and one for the latency if it has none."""
    header, result = report.run.header, report.gate_result
    cells = {name: rest for name, *rest in content.metric_rows(result)}
    compared = result.comparison.metrics if result.comparison else ()
    changes = {change.metric: change for change in compared if change.tag is None}
    views = []
    for info in header.metrics[:_MAX_METRICS]:
        sides = [
            metric_values(run.trials if run else (), info.name)
            for run in (report.baseline, report.run)
        ]
        mean, spread, scored = cells.get(info.name, ("", "", ""))
        change = changes.get(info.name)
        views.append(
            {
                "name": info.name,
                "change": true_minus(_change_text(change)),
                "harm": _harm(change),
                "cells": (mean, spread, scored),
                **_distribution(info.name, info.unit, *sides),
            }
        )
    before, now = (_latencies(run) for run in (report.baseline, report.run))
    # Latencies are known even if the set does not score them.
    if now and all(info.name != "latency_s" for info in header.metrics):
        view = {"name": "latency", "change": "", "harm": 0.0, "cells": ("", "", "")}
        views.append({**view, **_distribution("latency", "s", before, now)})
    return sorted(views, key=lambda view: -abs(view["harm"]))


def _change_text(change: MetricChange | None) -> str:
    if change is None or change.difference is None or not change.difference:
        return ""
    if not change.unit:
        return content.change_cell(change.difference, "")
    return content.change_cell(change.difference / change.base, change.unit) if change.base else ""


def _harm(change: MetricChange | None) -> float:
    if change is None or change.difference is None:
        return 0.0
    size = 1.0 if not change.unit else abs(change.base or 0.0)
    return change.difference / size if size else 0.0


def _latencies(run: Run | None) -> list[float]:
    trials = run.trials if run else ()
    return [trial.output.latency_s for trial in trials if trial.output.error is None]


def _distribution(
    name: str, unit: str, before: Sequence[float], now: Sequence[float]
) -> dict[str, Any]:
    """Return the plot of a distribution with the texts of its ends; no plot if it says nothing."""
    view: dict[str, Any] = {"plot": None, "ends": ()}
    if len(now) < _MIN_VALUES or len(set(now)) < _MIN_DIFFERENT:
        return view
    sides = [(side, values) for side, values in (("baseline", before), ("this run", now)) if values]
    values = [value for _, side in sides for value in side]
    # Durations may differ by orders of magnitude, but 0 has no logarithm.
    is_log = unit == "s" and min(values) > 0
    scale: Callable[[float], float] = log10 if is_log else float
    axis = Axis(scale(min(values)), scale(max(values)))
    medians = [content.value_cell(sorted(side)[len(side) // 2], unit) for _, side in sides]
    finding = ", ".join(
        f"median of {side} {text}" for (side, _), text in zip(sides, medians, strict=True)
    )
    return {
        "plot": {
            "label": f"distribution of {name}: {finding}",
            "height": (_STRIP_HEIGHT + 4) * len(sides) + 4,
            "strips": list(_strips(sides, axis, scale)),
        },
        "ends": [content.value_cell(end, unit) for end in (min(values), max(values))],
    }


def _strips(
    sides: Sequence[tuple[str, Sequence[float]]], axis: Axis, scale: Callable[[float], float]
) -> Iterator[dict[str, Any]]:
    for row, (side, values) in enumerate(sides):
        top = 2 + (_STRIP_HEIGHT + 4) * row
        counts = Counter(min(int(axis.place(scale(value)) * _BINS), _BINS - 1) for value in values)
        most = max(counts.values())
        yield {
            "side": "base" if side == "baseline" else "now",
            "top": top,
            "bottom": top + _STRIP_HEIGHT,
            "bars": [
                (index / _BINS, top + _STRIP_HEIGHT - height, height)
                for index, height in (
                    (index, max(1.0, _STRIP_HEIGHT * count / most))
                    for index, count in sorted(counts.items())
                )
            ],
            "median": axis.place(scale(sorted(values)[len(values) // 2])),
        }
