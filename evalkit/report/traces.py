"""Render the traces that match a query, or the result of SQL, as terminal text and as JSON."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Literal, TypedDict

from evalkit.core.format import format_count
from evalkit.core.literals import Json
from evalkit.core.safe_text import format_json
from evalkit.report.case_status import json_text
from evalkit.report.content import value_cell
from evalkit.report.screen import Cell, Screen, align_columns, join_sections
from evalkit.trace.query import QueryResult, TraceQuery

NO_SPANS = (
    "No run has any spans. evalkit collects an agent's OpenTelemetry spans automatically. Without "
    "OpenTelemetry, use `with evalkit.span(...)`, or return `tool_calls`."
)


class TracesDocument(TypedDict):
    """A table of traces, or the result of SQL. `traces` prints it.

    Attributes:
        total: The number of all rows; null if SQL found more than are shown.
    """

    schema: Literal["evalkit.traces/v1"]
    columns: tuple[str, ...]
    rows: list[Mapping[str, Json]]
    total: int | None


def traces_text(query: TraceQuery, answer: QueryResult, runs: int, screen: Screen) -> str:
    """Render the traces that match a query, one line each."""
    if not runs:
        return join_sections([screen.fold(NO_SPANS)])
    rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    total = answer.total or 0
    filters = f": {query}" if query.has_filters else ""
    intro = f"{format_count(total, 'trace')} in {format_count(runs, 'run')}{filters}"
    if total > len(rows):
        intro += f"; the newest {len(rows):,} are shown (--limit)"
    titles = ("run", "case", "trial", "version", "state", "took", "steps", "step")
    table = align_columns(
        [_cells(row) for row in rows],
        screen,
        titles=titles,
        shrinkable={0: 16, 7: 16, 3: 6, 1: 8},
        right=(2, 5, 6),
    )
    sections = [screen.fold(intro, hang="  "), table]
    if rows:
        command = f"evalkit show {rows[0]['run']} {shlex.quote(rows[0]['case_id'])}"
        sections.append([f"Look closer: {screen.show(command, 400)}"])
    return join_sections(sections)


def _cells(row: Mapping[str, Json]) -> tuple[Cell | str, ...]:
    state = ("passed" if row["passed"] else "failed") if row["state"] == "scored" else row["state"]
    return (
        row["run"],
        row["case_id"],
        f"{row['trial'] + 1}",
        row["agent_version"] or "",
        Cell(state.replace("_", " "), "good" if row["passed"] else "bad"),
        value_cell(row["latency_s"], "s"),
        f"{row['steps']:,}",
        _step_text(row["step"]),
    )


def _step_text(step: Mapping[str, Json] | None) -> str:
    if step is None:
        return ""
    error = ": ".join(filter(None, (step["error_type"], step["error"])))
    took = f"{step['name']} {value_cell(step['duration_s'], 's')}"
    return f"{took} {error}" if error else took


def traces_json(answer: QueryResult) -> str:
    """Render a table as an `evalkit.traces/v1` document."""
    document: TracesDocument = {
        "schema": "evalkit.traces/v1",
        "columns": answer.columns,
        "rows": [dict(zip(answer.columns, row, strict=True)) for row in answer.rows],
        "total": answer.total,
    }
    return format_json(document)


def table_text(answer: QueryResult, screen: Screen) -> str:
    """Render the result of SQL as a table."""
    rows = [[_field_text(value) for value in row] for row in answer.rows]
    columns = range(len(answer.columns))
    # Align columns of numbers to the right.
    numbers = [
        column
        for column in columns
        if all(isinstance(row[column], int | float | None) for row in answer.rows)
    ]
    table = align_columns(
        rows, screen, titles=answer.columns, shrinkable=dict.fromkeys(columns, 6), right=numbers
    )
    found = format_count(len(rows), "row")
    if answer.total is None:
        found = "More rows were found; see --limit."
    return join_sections([table, [found]])


def _field_text(value: Json) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else json_text(value)
