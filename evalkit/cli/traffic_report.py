"""evalkit traffic report: measures of stored traffic by version, model, tool, and time."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from evalkit.cli.console import create_context, detect_screen
from evalkit.cli.options import OutputOption, VerboseOption, output_option
from evalkit.cli.output import write_result


class TrafficReportFormat(StrEnum):
    """The output formats of a traffic report."""

    table = "table"
    json = "json"
    csv = "csv"
    markdown = "markdown"


def traffic_report(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the stored traffic.")],
    by: Annotated[
        list[str],
        typer.Option(
            "--by",
            metavar="DIMENSION,...",
            help="Groups to list: version, variant, model, tool, environment, day, or an attribute of spans.",
        ),
    ] = [],  # noqa: B006 - typer copies it
    only: Annotated[
        list[str],
        typer.Option(
            "--only",
            metavar="DIMENSION=VALUE",
            help="Only these requests, for example version=v3 or day=2026-11-23..2026-11-29; repeatable.",
        ),
    ] = [],  # noqa: B006
    compare: Annotated[
        str,
        typer.Option(
            metavar="BASE,CANDIDATE",
            help="Compare these versions or arms (default: the newest two versions, and all arms).",
        ),
    ] = "",
    format: Annotated[  # noqa: A002 - the option's name
        TrafficReportFormat, output_option("--format", help="Format of the result.")
    ] = TrafficReportFormat.table,
    output: OutputOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Report success, errors, latency, cost, and satisfaction."""
    from evalkit.commands.traffic.report import report_traffic
    from evalkit.traffic import report_documents
    from evalkit.traffic.report_text import report_text

    report = report_traffic(name, by, only, compare, create_context())
    if format is TrafficReportFormat.json:
        text = report_documents.report_json(report)
    elif format is TrafficReportFormat.csv:
        text = report_documents.report_csv(report)
    elif format is TrafficReportFormat.markdown:
        text = report_documents.report_markdown(report)
    else:
        text = report_text(report, detect_screen(output), verbose=verbose)
    write_result(text, output)
