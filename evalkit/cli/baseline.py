"""evalkit baseline: record baselines, or promote a stored run to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from evalkit.cli.completion import complete_run
from evalkit.cli.console import create_context
from evalkit.cli.option_groups import AgentOptions, ResultOptions, ResumeOptions
from evalkit.cli.options import (
    ConcurrencyOption,
    EvalSetsArgument,
    FixedTrialsOption,
    MaxCostOption,
    MaxErrorsOption,
    SeedOption,
    require_text,
)
from evalkit.cli.output import exit_with_code, print_result, refuse_conflicting_options

if TYPE_CHECKING:
    from evalkit.core.context import Context
    from evalkit.report.baseline import RecordedBaseline
    from evalkit.runner.records import RunOptions, RunRequest


def baseline(
    evalsets: EvalSetsArgument,
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
    """Record baselines, or promote a stored run to one.

    Record 10 trials per case, or the number in --trials.
    """
    from evalkit.commands import baseline as command
    from evalkit.core.settings import SettingsOverrides
    from evalkit.core.source_files import names_several
    from evalkit.report.baseline import baseline_json, baseline_text
    from evalkit.runner.records import RunRequest

    refuse_conflicting_options(
        resume.conflict,
        ("--from runs nothing; leave out --resume", source is not None and resume.resume),
    )
    context = create_context()
    request = RunRequest(
        path=evalsets[0],
        entrypoint=agent.agent,
        overrides=SettingsOverrides(
            trials=trials,
            concurrency=concurrency,
            max_errors=max_errors,
            max_cost_usd=max_cost_usd,
            seed=seed,
        ),
    )
    if len(evalsets) > 1 or names_several(evalsets[0]):
        refuse_conflicting_options(
            ("--from names the run of one set; name that set", source is not None),
            *resume.conflicts_with_several,
        )
        record_several(evalsets, request, agent.agent_version, context, result)
    if source is None:
        recorded = record_one(request, resume.choose_run(agent.agent_version), context)
    else:
        recorded = command.promote_stored_run(request, source, context)
    print_result(recorded, result, baseline_json, baseline_text)


def record_one(request: RunRequest, options: RunOptions, context: Context) -> RecordedBaseline:
    """Record the baseline of one set."""
    from evalkit.cli.errors import describe_error
    from evalkit.commands import baseline as command
    from evalkit.commands.batch_record import record_only_set

    with record_only_set(request.path, options, describe_error, context) as record:
        recorded = command.record_baseline(request, options, context)
        record(recorded.run.header)
    return recorded


def record_several(
    evalsets: Sequence[Path],
    request: RunRequest,
    agent_version: str | None,
    context: Context,
    result: ResultOptions,
) -> NoReturn:
    """Record the baselines of several sets, or of all sets of a folder, and exit with the worst code."""
    from evalkit.cli.errors import describe_error
    from evalkit.commands import baseline as command
    from evalkit.commands.baselines import record_baselines
    from evalkit.commands.batch_checks import FixedCommits, check_requests
    from evalkit.commands.batch_record import BatchLog
    from evalkit.commands.shared_limit import SharedLimit
    from evalkit.evalset.set_files import find_sets
    from evalkit.report.baselines import baselines_json, baselines_text
    from evalkit.runner.records import RunOptions

    found = find_sets(evalsets)
    if found.skipped:
        context.say(f"other files: {', '.join(map(str, found.skipped))}")
    requests = [replace(request, path=path) for path in found.sets]
    commits = [FixedCommits() for _ in requests]
    log = BatchLog(found.sets, context)
    try:
        checked = check_requests(requests, commits, lambda own: own, context)
    except Exception as error:
        log.refuse(*describe_error(error))
        raise
    shared = SharedLimit(request.overrides.max_cost_usd, context)
    base_options = RunOptions(agent_version=agent_version, batch=log.id)

    def record(number: int) -> RecordedBaseline:
        own, name = checked[number].request, checked[number].name
        own, options = shared.apply(own, base_options, name)
        context.say(f"{own.path}: recording the baseline")
        log.begin(number, name, options.run_id or "")
        try:
            return command.record_baseline(own, options, context)
        finally:
            shared.count(own, options)

    recorded = record_baselines(checked, record, log.end, describe_error, context)
    print_result(recorded, result, baselines_json, baselines_text)
    exit_with_code(recorded.exit_code)
