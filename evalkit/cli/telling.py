"""The command that tells how a set's scores came along: history."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from evalkit.console import emit, real_screen, real_world
from evalkit.options import EvalSetPath


class HistoryFormat(StrEnum):
    """What a history is printed as."""

    table = "table"
    json = "json"
    csv = "csv"


def history(
    evalset: EvalSetPath,
    record: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep a line a run in this file (JSONL), and read it."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also write a page with plots.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many of the newest rows.")] = 50,
    format: Annotated[  # noqa: A002 - the option's name
        HistoryFormat, typer.Option("--format", help="How to print the result.")
    ] = HistoryFormat.table,
) -> None:
    """Show versions, scores and dates of a set's runs."""
    from evalkit.commands.history import tell_history
    from evalkit.files import write_whole
    from evalkit.reports.history import history_csv, history_json, history_text

    told = tell_history(evalset, record, limit, real_world())
    if html:
        from evalkit.reports.html.history import render_history

        write_whole(html, render_history(told.evalset, told.rows, told.notes))
    if format is HistoryFormat.json:
        emit(history_json(told.evalset, told.rows, told.notes))
    elif format is HistoryFormat.csv:
        emit(history_csv(told.rows))
    else:
        emit(history_text(told.evalset, told.rows, told.notes, real_screen()))
