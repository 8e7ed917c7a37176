"""Traces that were looked for, and tables that SQL found, as text for a terminal and as JSON."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from evalkit.core.format import format_count
from evalkit.core.literals import Json
from evalkit.core.safe_text import format_json
from evalkit.report.case_status import json_text
from evalkit.report.numbers import value_cell
from evalkit.report.screen import Cell, Screen, align_columns, join_sections
from evalkit.trace.query import QueryResult, TraceQuery

NO_SPANS = (
    "No run has any spans. An agent's OpenTelemetry spans are collected by themselves; without "
    "OpenTelemetry, use `with evalkit.span(...)`, or return `tool_calls`."
)


def traces_text(question: TraceQuery, answer: QueryResult, runs: int, screen: Screen) -> str:
    """Render the traces that match a question, one line each."""
    if not runs:
        return join_sections([screen.fold(NO_SPANS)])
    rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    total = answer.total or 0
    asked = f": {question}" if question.has_filters else ""
    opening = f"{format_count(total, 'trace')} in {format_count(runs, 'run')}{asked}"
    if total > len(rows):
        opening += f"; the newest {len(rows):,} are shown (--limit)"
    titles = ("run", "case", "trial", "version", "state", "took", "steps", "step")
    table = align_columns(
        [_cells(row) for row in rows],
        screen,
        titles=titles,
        shrinkable={0: 16, 7: 16, 3: 6, 1: 8},
        right=frozenset({2, 5, 6}),
    )
    sections = [screen.fold(opening, hang="  "), table]
    if rows:
        look = f"evalkit show {rows[0]['run']} {shlex.quote(rows[0]['case_id'])}"
        sections.append([f"Look closer: {screen.show(look, 400)}"])
    return join_sections(sections)


def _cells(row: Mapping[str, Json]) -> tuple[Cell, ...]:
    state = ("passed" if row["passed"] else "failed") if row["state"] == "scored" else row["state"]
    return (
        Cell(row["run"]),
        Cell(row["case_id"]),
        Cell(f"{row['trial'] + 1}"),
        Cell(row["agent_version"] or ""),
        Cell(state.replace("_", " "), "good" if row["passed"] else "bad"),
        Cell(value_cell(row["latency_s"], "s")),
        Cell(f"{row['steps']:,}"),
        Cell(_step_text(row["step"])),
    )


def _step_text(step: Mapping[str, Json] | None) -> str:
    if step is None:
        return ""
    error = ": ".join(filter(None, (step["error_type"], step["error"])))
    took = f"{step['name']} {value_cell(step['duration_s'], 's')}"
    return f"{took} {error}" if error else took


def traces_json(answer: QueryResult) -> str:
    """Render a table as one document, `evalkit.traces/v1`."""
    return format_json(
        {
            "schema": "evalkit.traces/v1",
            "columns": answer.columns,
            "rows": [dict(zip(answer.columns, row, strict=True)) for row in answer.rows],
            "total": answer.total,
        }
    )


def table_text(answer: QueryResult, screen: Screen) -> str:
    """Render what SQL found, as it is."""
    rows = [[Cell(_field_text(value)) for value in row] for row in answer.rows]
    columns = range(len(answer.columns))
    numbers = frozenset(
        column
        for column in columns
        if all(isinstance(row[column], int | float | None) for row in answer.rows)
    )
    table = align_columns(
        rows, screen, titles=answer.columns, shrinkable=dict.fromkeys(columns, 6), right=numbers
    )
    more = answer.total is None
    said = "More rows were found; see --limit." if more else format_count(len(rows), "row")
    return join_sections([table, [said]])


def _field_text(value: Json) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else json_text(value)
