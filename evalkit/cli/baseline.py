"""evalkit baseline: record a baseline, or promote a stored run to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.console import create_context, detect_screen, emit
from evalkit.cli.options import (
    AgentOption,
    AgentVersionOption,
    ConcurrencyOption,
    EvalSetArgument,
    Format,
    FormatOption,
    MaxErrorsOption,
    ReportFormat,
    ResumeOption,
    RetryErrorsOption,
    RunIdOption,
    SeedOption,
)
from evalkit.cli.output import refuse_conflicting_options

if TYPE_CHECKING:
    from evalkit.report.baseline import RecordedBaseline


def baseline(
    evalset: EvalSetArgument,
    source: Annotated[
        str | None, typer.Option("--from", metavar="RUN", help="Promote this run; run nothing.")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trials of every case to record (default 10).")
    ] = None,
    concurrency: ConcurrencyOption = None,
    max_errors: MaxErrorsOption = None,
    seed: SeedOption = None,
    agent: AgentOption = None,
    agent_version: AgentVersionOption = None,
    resume: ResumeOption = False,
    run_id: RunIdOption = None,
    retry_errors: RetryErrorsOption = False,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Record or promote the baseline."""
    from evalkit.commands import baseline as command
    from evalkit.core.settings import SettingsOverrides
    from evalkit.runner.records import RunOptions, RunRequest

    refuse_conflicting_options(
        ("--retry-errors goes with --resume", retry_errors and not resume),
        ("--from runs nothing, so it has nothing to resume", source is not None and resume),
        ("--agent-version is empty", agent_version == ""),
        ("--from is empty", source == ""),
    )
    world = create_context()
    overrides = SettingsOverrides(
        trials=trials, concurrency=concurrency, max_errors=max_errors, seed=seed
    )
    order = RunRequest(path=evalset, entrypoint=agent, overrides=overrides)
    if source is None:
        choices = RunOptions(
            agent_version=agent_version, run_id=run_id, resume=resume, retry_errors=retry_errors
        )
        recorded = command.record_baseline(order, choices, world)
    else:
        recorded = command.promote_stored_run(order, source, world)
    print_recorded_baseline(recorded, format)


def print_recorded_baseline(recorded: RecordedBaseline, format: Format | ReportFormat) -> None:  # noqa: A002
    """Print what a baseline was made of."""
    from evalkit.report.baseline import baseline_json, baseline_text

    if format == Format.json:
        emit(baseline_json(recorded))
    else:
        emit(baseline_text(recorded, detect_screen()))
