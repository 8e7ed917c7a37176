"""Render the history of a set as a terminal table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from evalkit.compare.history import HistoryMetric, HistoryRow
from evalkit.core.format import format_count
from evalkit.core.safe_text import format_json
from evalkit.report.content import NO_VALUE, value_cell
from evalkit.report.documents import to_document
from evalkit.report.history_content import list_definition_changes, metric_names
from evalkit.report.screen import Screen, align_columns, join_sections

_MAX_METRICS = 4


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


def history_text(
    name: str, rows: Sequence[HistoryRow], notes: Sequence[str], screen: Screen
) -> str:
    """Render the rows, newest last, with as many metrics as the screen has space for."""
    names = metric_names(rows)
    most = min(_MAX_METRICS, len(names))
    folded = lines = _table(rows, names[:most], screen)
    while most > 1 and len(lines) != len(rows) + 1:
        most -= 1
        lines = _table(rows, names[:most], screen)
    # If not even one metric fits, rows are folded as paragraphs, which have space for more.
    if len(lines) != len(rows) + 1:
        most, lines = min(_MAX_METRICS, len(names)), folded
    left_out = names[most:]
    more = f"Not shown because the screen is too narrow: {', '.join(left_out)}." if left_out else ""
    return join_sections(
        [
            [f"{name}: {format_count(len(rows), 'run')}"],
            lines,
            screen.fold_all(filter(None, (more, *notes))),
        ]
    )


def _table(rows: Sequence[HistoryRow], metrics: Sequence[str], screen: Screen) -> list[str]:
    columns = [
        ("date", [row.created[:10] for row in rows]),
        ("version", [row.version or NO_VALUE for row in rows]),
        ("", ["baseline" if row.kind == "baseline" else "" for row in rows]),
        *((metric, [_mean_text(row.find(metric)) for row in rows]) for metric in metrics),
        ("p95", [_latency_text(row) for row in rows]),
        ("cost", [value_cell(row.cost_usd, "usd") if row.cost_usd else "" for row in rows]),
        ("errors", [_errors_text(row) for row in rows]),
        (
            # A change of the set or the judge may explain a jump that the agent did not cause.
            "now with",
            [f"another {changed}" if changed else "" for changed in list_definition_changes(rows)],
        ),
    ]
    shown = [(title, cells) for title, cells in columns if any(cells)]
    right = [n for n, (title, _) in enumerate(shown) if title in (*metrics, "p95", "cost")]
    table = [[cells[number] for _, cells in shown] for number in range(len(rows))]
    titles = [title for title, _ in shown]
    shrinkable = {titles.index("version"): 8} | {
        titles.index(title): 8 for title in ("errors", "now with") if title in titles
    }
    return align_columns(table, screen, titles=titles, shrinkable=shrinkable, right=right)


def _errors_text(row: HistoryRow) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in row.errors.items())


def _mean_text(metric: HistoryMetric | None) -> str:
    return NO_VALUE if metric is None else value_cell(metric.mean, metric.unit)


def _latency_text(row: HistoryRow) -> str:
    return value_cell(row.latency_s["p95"], "s") if "p95" in row.latency_s else ""


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
