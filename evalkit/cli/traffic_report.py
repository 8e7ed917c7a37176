"""evalkit traffic report: measures of stored traffic by version, model, tool, and time."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.console import create_context, detect_screen
from evalkit.cli.options import OutputOption, VerboseOption, output_file, output_option
from evalkit.cli.output import refuse_shared_files, write_result


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
            help="Only these requests, for example version=v3 day=2026-11-23..2026-11-29, or tool!=ping; repeatable.",
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
    html: Annotated[
        Path | None, output_file("--html", help="Also write a page with plots and filters.")
    ] = None,
) -> None:
    """Report success, errors, latency, cost, and satisfaction."""
    from evalkit.commands.traffic.report import read_options, report_traffic
    from evalkit.core.files import write_atomically
    from evalkit.traffic import report_documents
    from evalkit.traffic.report_text import report_text

    refuse_shared_files([path for path in (html, output) if path])
    context = create_context()
    options = read_options(by, only, compare)
    report, page = report_traffic(name, options, context, page=html is not None)
    if html:
        write_atomically(html, page)
    if format is TrafficReportFormat.json:
        text = report_documents.report_json(report)
    elif format is TrafficReportFormat.csv:
        text = report_documents.report_csv(report)
    elif format is TrafficReportFormat.markdown:
        text = report_documents.report_markdown(report)
    else:
        text = report_text(report, detect_screen(output), verbose=verbose)
    write_result(text, output)
