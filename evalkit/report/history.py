"""The history of a set as a table, as strict JSON and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from evalkit.compare.history import HistoryMetric, HistoryRow
from evalkit.core.format import format_count
from evalkit.core.safe_text import format_json
from evalkit.report.csv import safe_cell
from evalkit.report.numbers import NO_VALUE, value_cell
from evalkit.report.screen import Cell, Screen, align_columns, join_sections

_MAX_METRICS = 4
CSV_COLUMNS = (
    "created",
    "kind",
    "id",
    "version",
    "commit",
    "judge",
    "cases",
    "trials",
    "metric",
    "tag",
    "unit",
    "mean",
    "low",
    "high",
    "rate",
    "p50",
    "p95",
    "p99",
    "scored",
    "due",
    "errors",
    "cost_usd",
    "judge_cost_usd",
)


def list_definition_changes(rows: Sequence[HistoryRow]) -> tuple[str, ...]:
    """For every row what was measured otherwise than in the row before: the set, the judge or nothing."""
    marks = [""]
    for before, after in pairwise(rows):
        changed = [
            word
            for word, name in (("set", "definition"), ("judge", "judge"))
            if getattr(before, name) != getattr(after, name)
        ]
        marks.append(" and ".join(changed))
    return tuple(marks[: len(rows)])


def metric_names(rows: Sequence[HistoryRow]) -> list[str]:
    """Every metric of any row, those of the newest first."""
    found = (each.metric for row in reversed(rows) for each in row.metrics if each.tag is None)
    return list(dict.fromkeys(found))


def interval_text(metric: HistoryMetric | None) -> str:
    """A mean, and what it may be on other cases like these."""
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
    """Render the rows, newest last, with as many of the metrics as the screen has room for."""
    names = metric_names(rows)
    for most in range(min(_MAX_METRICS, len(names)), 0, -1):
        lines = _table(rows, names[:most], screen)
        if len(lines) == len(rows) + 1:
            break
    else:  # rows that are folded have room for all
        most = min(_MAX_METRICS, len(names))
        lines = _table(rows, names[:most], screen)
    left_out = names[most:]
    more = f"Not shown for want of room: {', '.join(left_out)}." if left_out else ""
    return join_sections(
        [
            [f"{name}: {format_count(len(rows), 'run')}"],
            lines,
            [line for text in filter(None, (more, *notes)) for line in screen.fold(text)],
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
            "now with",
            [f"another {changed}" if changed else "" for changed in list_definition_changes(rows)],
        ),
    ]
    shown = [(title, cells) for title, cells in columns if any(cells)]
    right = frozenset(n for n, (title, _) in enumerate(shown) if title in (*metrics, "p95", "cost"))
    table = [[Cell(cells[number]) for _, cells in shown] for number in range(len(rows))]
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
    """The same for programs, with every metric and tag."""
    return format_json(
        {
            "schema": "evalkit.history/v1",
            "evalset": name,
            "rows": [
                {**msgspec.to_builtins(row), "changed": changed}
                for row, changed in zip(rows, list_definition_changes(rows), strict=True)
            ],
            "notes": list(notes),
        }
    )


def history_csv(rows: Sequence[HistoryRow]) -> str:
    """The same for a spreadsheet: a line for each metric and tag of each row."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for row in rows:
        for metric in row.metrics:
            writer.writerow(_csv_row(row, metric))
    return stream.getvalue()


def _csv_row(row: HistoryRow, metric: HistoryMetric) -> Iterator[str]:
    of_row, of_metric = msgspec.to_builtins(row), msgspec.to_builtins(metric)
    for name in CSV_COLUMNS:
        value = sum(row.errors.values()) if name == "errors" else {**of_row, **of_metric}[name]
        yield (
            "" if value is None else safe_cell(value) if isinstance(value, str) else f"{value:.9g}"
        )
