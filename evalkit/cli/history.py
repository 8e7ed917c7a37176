"""evalkit history: show how the scores of a set changed over its runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.console import create_context, detect_screen
from evalkit.cli.options import (
    EvalSetArgument,
    OutputOption,
    VerboseOption,
    output_file,
    output_option,
)
from evalkit.cli.output import write_result


class HistoryFormat(StrEnum):
    """The output formats of a history."""

    table = "table"
    json = "json"
    csv = "csv"


def history(
    evalset: EvalSetArgument,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also read runs from this JSONL file, and add new runs to it.",
        ),
    ] = None,
    agent: Annotated[
        str | None,
        typer.Option(metavar="AGENT", help="Only runs of this agent, named as in the history."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of rows, newest first.")] = 50,
    format: Annotated[  # noqa: A002 - the option's name
        HistoryFormat, output_option("--format", help="Format of the result.")
    ] = HistoryFormat.table,
    output: OutputOption = None,
    verbose: VerboseOption = False,
    html: Annotated[
        Path | None, output_file("--html", help="Also write a page with plots.")
    ] = None,
) -> None:
    """Show the versions, scores, and dates of a set's runs."""
    from evalkit.commands.history import HistoryFilter, read_history
    from evalkit.core.files import write_atomically
    from evalkit.report.csv import history_csv
    from evalkit.report.history import history_json
    from evalkit.report.history_table import history_text

    found = read_history(evalset, HistoryFilter(agent, limit), record, create_context())
    shown = (found.evalset, found.rows, found.notes)
    if html:
        from evalkit.report.html.history import render_history

        write_atomically(html, render_history(*shown))
    if format is HistoryFormat.json:
        text = history_json(*shown)
    elif format is HistoryFormat.csv:
        text = history_csv(found.rows)
    else:
        text = history_text(*shown, detect_screen(output), verbose=verbose)
    write_result(text, output)
