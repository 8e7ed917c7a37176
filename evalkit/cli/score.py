"""evalkit score: score stored outputs again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.completion import complete_evalset
from evalkit.cli.option_groups import BaselineOptions, ReportFiles, ReportOptions, ResumeOptions
from evalkit.cli.options import ConcurrencyOption, MaxCostOption, RunArgument
from evalkit.cli.output import (
    create_report_context,
    deliver_and_exit,
    print_result,
    refuse_conflicting_options,
)


def score(
    ref: RunArgument,
    comparison: BaselineOptions,
    printed: ReportOptions,
    files: ReportFiles,
    resume: ResumeOptions,
    evalset: Annotated[
        Path | None,
        typer.Option(
            "--set",
            metavar="EVALSET",
            autocompletion=complete_evalset,
            help="Take only the outputs from the run, and score them with this set.",
        ),
    ] = None,
    concurrency: ConcurrencyOption = None,
    max_cost_usd: MaxCostOption = None,
) -> None:
    """Score stored outputs again without calling the agent."""
    from evalkit.commands.score import ScoreSource
    from evalkit.commands.score import score as command
    from evalkit.core.settings import SettingsOverrides
    from evalkit.report.baseline import baseline_json, baseline_text
    from evalkit.report.model import Report

    refuse_conflicting_options(resume.conflict)

    scored = command(
        ScoreSource(ref=ref, evalset=evalset, options=resume.choose_run()),
        SettingsOverrides(concurrency=concurrency, max_cost_usd=max_cost_usd),
        comparison.choose_baseline(),
        comparison.choose_gate(),
        create_report_context(printed, files),
    )
    if isinstance(scored, Report):
        deliver_and_exit(scored, printed, files)
    print_result(scored, printed, baseline_json, baseline_text)
