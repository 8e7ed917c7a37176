"""Render the history of a set as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from evalkit.compare.history import HistoryMetric, HistoryRow
from evalkit.core.safe_text import format_json
from evalkit.report.content import NO_VALUE, value_cell
from evalkit.report.documents import to_document
from evalkit.report.history_content import list_definition_changes


class HistoryRowDocument(TypedDict):
    """One run or baseline; its other keys are those of the record.

    Attributes:
        changed: What differs from the row before: set, judge, or both.
    """

    changed: str


class HistoryDocument(TypedDict):
    """The runs and baselines of a set, oldest first. `history` prints it."""

    schema: Literal["evalkit.history/v1"]
    evalset: str
    rows: list[HistoryRowDocument]
    notes: list[str]


def interval_text(metric: HistoryMetric | None) -> str:
    """Return a mean with its interval."""
    if metric is None or metric.mean is None:
        return NO_VALUE
    mean = value_cell(metric.mean, metric.unit)
    if metric.low is None or metric.high is None:
        return mean
    low, high = (value_cell(bound, metric.unit) for bound in (metric.low, metric.high))
    return f"{mean} ({low}-{high})"


def history_json(name: str, rows: Sequence[HistoryRow], notes: Sequence[str]) -> str:
    """Render the rows with every metric and tag as an `evalkit.history/v1` document."""
    document: HistoryDocument = {
        "schema": "evalkit.history/v1",
        "evalset": name,
        "rows": [
            {"changed": changed, **to_document(row, {})}
            for row, changed in zip(rows, list_definition_changes(rows), strict=True)
        ],
        "notes": list(notes),
    }
    return format_json(document)
