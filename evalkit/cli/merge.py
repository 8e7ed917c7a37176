"""evalkit merge: join the shards of one run."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.cli.console import create_context
from evalkit.cli.gate import build_baseline_choice, build_gate_choice
from evalkit.cli.options import (
    AcceptGateChangesOption,
    AllowMissingBaselineOption,
    BaselineOption,
    BaseOption,
    CsvOption,
    CtrfOption,
    HtmlOption,
    JunitOption,
    MarkdownOption,
    ReportFormat,
    ReportFormatOption,
    ReportPaths,
)
from evalkit.cli.output import check_report_paths, deliver_and_exit


def merge(
    refs: Annotated[list[str], typer.Argument(metavar="RUN...", help="All parts of one run.")],
    baseline: BaselineOption = None,
    allow_missing_baseline: AllowMissingBaselineOption = False,
    base: BaseOption = None,
    accept_gate_changes: AcceptGateChangesOption = False,
    format: ReportFormatOption = ReportFormat.table,  # noqa: A002
    junit: JunitOption = None,
    markdown: MarkdownOption = None,
    html: HtmlOption = None,
    csv: CsvOption = None,
    ctrf: CtrfOption = None,
) -> None:
    """Join the parts of a sharded run."""
    from evalkit.commands.merge import merge as join

    targets = ReportPaths(junit=junit, markdown=markdown, html=html, csv=csv, ctrf=ctrf)
    check_report_paths(*targets)
    against = build_baseline_choice(baseline, allow_missing_baseline)
    choice = build_gate_choice(base, accept_gate_changes)
    deliver_and_exit(join(refs, against, choice, create_context()), format, targets)
