"""evalkit merge: join the shards of one run."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.cli.completion import complete_run
from evalkit.cli.option_groups import BaselineOptions, ReportFiles, ReportOptions
from evalkit.cli.output import create_report_context, deliver_and_exit


def merge(
    refs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...", help="All shards of one run.", autocompletion=complete_run
        ),
    ],
    comparison: BaselineOptions,
    printed: ReportOptions,
    files: ReportFiles,
) -> None:
    """Join the shards of a run, and apply the gate."""
    from evalkit.commands.merge import merge as command

    report = command(
        refs,
        comparison.choose_baseline(),
        comparison.choose_gate(),
        create_report_context(printed, files),
    )
    deliver_and_exit(report, printed, files)
