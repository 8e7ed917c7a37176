"""evalkit runs: list the stored runs."""

from __future__ import annotations

from typing import Annotated

from evalkit.cli.console import create_context, detect_screen
from evalkit.cli.options import (
    OutputOption,
    TableFormat,
    output_option,
    require_text,
    selection_option,
)
from evalkit.cli.output import write_result


def runs(
    evalset: Annotated[
        str | None,
        selection_option(
            "--set",
            metavar="SET",
            callback=require_text,
            help="Only runs of this set: name or path.",
        ),
    ] = None,
    version: Annotated[
        str | None,
        selection_option(
            "--version",
            metavar="VERSION",
            callback=require_text,
            help="Only runs of this agent version.",
        ),
    ] = None,
    failed: Annotated[bool, selection_option("--failed", help="Only runs that failed.")] = False,
    limit: Annotated[int, selection_option(min=1, help="Maximum number of runs.")] = 20,
    format: Annotated[  # noqa: A002 - the option's name
        TableFormat, output_option("--format", help="Format of the result.")
    ] = TableFormat.table,
    output: OutputOption = None,
) -> None:
    """List the stored runs with verdict, date, and cost."""
    from evalkit.commands.runs import RunFilter
    from evalkit.commands.runs import runs as command
    from evalkit.report.csv import runs_csv
    from evalkit.report.runs import runs_json, runs_text

    wanted = RunFilter(evalset=evalset, version=version, failed=failed)
    found = command(wanted, limit, create_context())
    if format is TableFormat.json:
        text = runs_json(found)
    elif format is TableFormat.csv:
        text = runs_csv(found.runs)
    else:
        text = runs_text(found, detect_screen(output))
    write_result(text, output)
