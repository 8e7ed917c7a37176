"""Turn the latencies, costs, errors, and calls of a history into series, which have no threshold of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evalkit.compare.call_stats import CallStats
from evalkit.compare.history import HistoryRow
from evalkit.report.history_content import Series
from evalkit.report.history_points import SeriesPoint

PERCENTILES = ("p50", "p95", "p99")

_MAX_NAMES = 8


def build_operation_series(rows: Sequence[HistoryRow]) -> list[Series]:
    """Return how the answers of each run were made: latency, cost, missing scores, and failed calls."""
    return [series for series in _build_all(rows) if series.known]


def _build_all(rows: Sequence[HistoryRow]) -> Iterator[Series]:
    for name in PERCENTILES:
        yield _series(f"latency {name}", "s", rows, [row.latency_s.get(name) for row in rows])
    yield _series("cost of a run", "usd", rows, [row.cost_usd for row in rows])
    for kind in sorted({kind for row in rows for kind in row.errors} or {""}):
        rates = [row.errors.get(kind, 0) / max(row.cases * row.trials, 1) for row in rows]
        yield _series(
            f"trials that ended in {kind}" if kind else "trials without a score", "", rows, rates
        )
    for name in _called_names(rows):
        calls = [_find_calls(row, name) for row in rows]
        yield _series(
            f"errors of {name}", "", rows, [each.error_rate if each else None for each in calls]
        )


def _series(
    title: str, unit: str, rows: Sequence[HistoryRow], values: Sequence[float | None]
) -> Series:
    points = (
        SeriesPoint(value, is_baseline=row.kind == "baseline")
        for row, value in zip(rows, values, strict=True)
    )
    return Series(title=title, unit=unit, points=tuple(points))


def _called_names(rows: Sequence[HistoryRow]) -> list[str]:
    """Return the models that any run called, and the tools that failed in any run."""
    names = {
        f"{each.kind} {each.name}"
        for row in rows
        for each in row.calls
        if each.kind == "model" or each.errors
    }
    return sorted(names)[:_MAX_NAMES]


def _find_calls(row: HistoryRow, name: str) -> CallStats | None:
    return next((each for each in row.calls if f"{each.kind} {each.name}" == name), None)
