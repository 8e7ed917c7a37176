"""evalkit score: score stored outputs again without calling the agent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.baseline import print_recorded_baseline
from evalkit.cli.console import create_context
from evalkit.cli.gate import build_baseline_choice, build_gate_choice
from evalkit.cli.options import (
    AcceptGateChangesOption,
    AllowMissingBaselineOption,
    BaselineOption,
    BaseOption,
    ConcurrencyOption,
    CsvOption,
    CtrfOption,
    HtmlOption,
    JunitOption,
    MarkdownOption,
    ReportFormat,
    ReportFormatOption,
    ReportPaths,
    RunArgument,
)
from evalkit.cli.output import check_report_paths, deliver_and_exit


def score(
    ref: RunArgument,
    evalset: Annotated[
        Path | None,
        typer.Option(
            "--set",
            metavar="EVALSET",
            help="Believe a run from elsewhere only its outputs, as answers to this set.",
        ),
    ] = None,
    concurrency: ConcurrencyOption = None,
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
    """Score stored outputs again, asking no agent."""
    from evalkit.commands.score import ScoreSource
    from evalkit.commands.score import score as score_again
    from evalkit.core.settings import SettingsOverrides
    from evalkit.report.model import Report

    targets = ReportPaths(junit=junit, markdown=markdown, html=html, csv=csv, ctrf=ctrf)
    check_report_paths(*targets)
    against = build_baseline_choice(baseline, allow_missing_baseline)
    choice = build_gate_choice(base, accept_gate_changes)
    scored = score_again(
        ScoreSource(ref=ref, evalset=evalset),
        SettingsOverrides(concurrency=concurrency),
        against,
        choice,
        create_context(),
    )
    if isinstance(scored, Report):
        deliver_and_exit(scored, format, targets)
    print_recorded_baseline(scored, format)
