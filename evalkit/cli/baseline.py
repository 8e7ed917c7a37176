"""evalkit baseline: record a baseline, or promote a stored run to one."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.cli.completion import complete_run
from evalkit.cli.console import create_context
from evalkit.cli.option_groups import AgentOptions, ResultOptions, ResumeOptions
from evalkit.cli.options import (
    ConcurrencyOption,
    EvalSetArgument,
    FixedTrialsOption,
    MaxCostOption,
    MaxErrorsOption,
    SeedOption,
    require_text,
)
from evalkit.cli.output import print_result, refuse_conflicting_options


def baseline(
    evalset: EvalSetArgument,
    agent: AgentOptions,
    resume: ResumeOptions,
    result: ResultOptions,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN",
            autocompletion=complete_run,
            callback=require_text,
            help="Promote this stored run, and run nothing.",
        ),
    ] = None,
    trials: FixedTrialsOption = None,
    concurrency: ConcurrencyOption = None,
    max_errors: MaxErrorsOption = None,
    max_cost_usd: MaxCostOption = None,
    seed: SeedOption = None,
) -> None:
    """Record a baseline, or promote a stored run to one.

    Record 10 trials per case, or the number in --trials.
    """
    from evalkit.commands import baseline as command
    from evalkit.core.settings import SettingsOverrides
    from evalkit.report.baseline import baseline_json, baseline_text
    from evalkit.runner.records import RunRequest

    refuse_conflicting_options(
        resume.conflict,
        ("--from runs nothing; leave out --resume", source is not None and resume.resume),
    )
    context = create_context()
    request = RunRequest(
        path=evalset,
        entrypoint=agent.agent,
        overrides=SettingsOverrides(
            trials=trials,
            concurrency=concurrency,
            max_errors=max_errors,
            max_cost_usd=max_cost_usd,
            seed=seed,
        ),
    )
    if source is None:
        options = resume.choose_run(agent.agent_version)
        recorded = command.record_baseline(request, options, context)
    else:
        recorded = command.promote_stored_run(request, source, context)
    print_result(recorded, result, baseline_json, baseline_text)
