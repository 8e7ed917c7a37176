"""The command that tells how a set's scores came along: history."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.console import create_context, detect_screen, emit
from evalkit.cli.options import EvalSetArgument


class HistoryFormat(StrEnum):
    """What a history is printed as."""

    table = "table"
    json = "json"
    csv = "csv"


def history(
    evalset: EvalSetArgument,
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
    from evalkit.commands.history import read_history
    from evalkit.core.files import write_atomically
    from evalkit.report.csv import history_csv
    from evalkit.report.history import history_json, history_text

    told = read_history(evalset, record, limit, create_context())
    if html:
        from evalkit.report.html.history import render_history

        write_atomically(html, render_history(told.evalset, told.rows, told.notes))
    if format is HistoryFormat.json:
        emit(history_json(told.evalset, told.rows, told.notes))
    elif format is HistoryFormat.csv:
        emit(history_csv(told.rows))
    else:
        emit(history_text(told.evalset, told.rows, told.notes, detect_screen()))
