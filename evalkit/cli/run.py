"""The commands that run a set and decide: run, baseline, gate, merge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.console import create_context, detect_screen, emit
from evalkit.cli.gate import build_baseline_choice, build_gate_choice
from evalkit.cli.options import (
    AcceptGateChangesOption,
    AgainstOption,
    AgentOption,
    AgentVersionOption,
    AllowMissingBaselineOption,
    BaselineOption,
    BaseOption,
    CacheOption,
    CaseIdsOption,
    ConcurrencyOption,
    CsvOption,
    CtrfOption,
    EvalSetArgument,
    ExpressionOption,
    Format,
    HtmlOption,
    JunitOption,
    MarkdownOption,
    MaxErrorsOption,
    OnInconclusiveOption,
    OnJudgeDriftOption,
    ReportFormat,
    ReportFormatOption,
    ReportPaths,
    ResumeOption,
    RetryErrorsOption,
    RunIdOption,
    SeedOption,
    TagsOption,
    TrialsOption,
    parse_trials,
)
from evalkit.cli.output import check_report_paths, deliver_and_exit, refuse_conflicting_options

if TYPE_CHECKING:
    from evalkit.core.context import Context
    from evalkit.runner.records import RunRequest


def run(
    evalset: EvalSetArgument,
    expression: ExpressionOption = None,
    tag: TagsOption = [],  # noqa: B006 - typer copies it
    case: CaseIdsOption = [],  # noqa: B006
    failed: Annotated[bool, typer.Option("--failed", help="What failed in the last run.")] = False,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Part I of N equal parts.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many cases.")] = None,
    trials: TrialsOption = None,
    concurrency: ConcurrencyOption = None,
    max_errors: MaxErrorsOption = None,
    on_inconclusive: OnInconclusiveOption = None,
    on_judge_drift: OnJudgeDriftOption = None,
    seed: SeedOption = None,
    agent: AgentOption = None,
    agent_version: AgentVersionOption = None,
    baseline: BaselineOption = None,
    allow_missing_baseline: AllowMissingBaselineOption = False,
    base: BaseOption = None,
    accept_gate_changes: AcceptGateChangesOption = False,
    against: AgainstOption = None,
    resume: ResumeOption = False,
    run_id: RunIdOption = None,
    retry_errors: RetryErrorsOption = False,
    cache: CacheOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run and what it costs.")
    ] = False,
    pdb: Annotated[
        bool, typer.Option("--pdb", help="Run one case in this process, under the debugger.")
    ] = False,
    format: ReportFormatOption = ReportFormat.table,  # noqa: A002 - the option's name
    junit: JunitOption = None,
    markdown: MarkdownOption = None,
    html: HtmlOption = None,
    csv: CsvOption = None,
    ctrf: CtrfOption = None,
) -> None:
    """Run, score, compare with the baseline, gate."""
    from evalkit.commands import run as command
    from evalkit.core.settings import SettingsOverrides
    from evalkit.evalset.selection import Selection, parse_shard
    from evalkit.runner.records import RunOptions, RunRequest

    refuse_conflicting_options(
        ("--retry-errors goes with --resume", retry_errors and not resume),
        ("--dry-run and --resume do not go together", dry_run and resume),
        ("--agent-version is empty", agent_version == ""),
        ("--agent is empty", agent == ""),
        ("--baseline is empty", baseline == ""),
        ("--against brings its own baseline; leave out --baseline", bool(against and baseline)),
        ("--against decides at once; leave out --shard", bool(against and shard)),
        ("--against runs both versions now; leave out --cache", bool(against) and cache),
        ("--against is for a run that decides; leave out --dry-run", bool(against) and dry_run),
        ("--against is for a run that decides; leave out --pdb", bool(against) and pdb),
        ("--base is for a run that decides; leave out --dry-run", dry_run and base is not None),
        ("--base is for a run that decides; leave out --pdb", pdb and base is not None),
    )
    targets = ReportPaths(junit=junit, markdown=markdown, html=html, csv=csv, ctrf=ctrf)
    check_report_paths(*targets)
    world = create_context()
    order = RunRequest(
        path=evalset,
        entrypoint=agent,
        selection=Selection(
            case_ids=tuple(case),
            tags=tuple(tag),
            expression=expression,
            shard=parse_shard(shard) if shard is not None else None,
            limit=limit,
        ),
        overrides=SettingsOverrides(
            trials=parse_trials(trials),
            concurrency=concurrency,
            max_errors=max_errors,
            on_inconclusive=on_inconclusive.value if on_inconclusive else None,
            on_judge_drift=on_judge_drift.value if on_judge_drift else None,
            seed=seed,
        ),
    )
    if failed:
        order = command.narrow_to_failed(order, world)
    if dry_run:
        print_dry_run(order, world, format)
    elif pdb:
        debug_case(order, world)
    else:
        choices = RunOptions(
            agent_version=agent_version,
            run_id=run_id,
            resume=resume,
            retry_errors=retry_errors,
            cache=cache,
        )
        opposite = command.ComparisonOptions(
            gate=build_gate_choice(base, accept_gate_changes),
            baseline=build_baseline_choice(baseline, allow_missing_baseline),
            against=against,
        )
        deliver_and_exit(command.run(order, choices, opposite, world), format, targets)


def print_dry_run(order: RunRequest, world: Context, format: Format | ReportFormat) -> None:  # noqa: A002
    """Print what a run would do."""
    from evalkit.commands.dry_run import plan_dry_run
    from evalkit.report.dry_run import dry_run_json, dry_run_text

    found = plan_dry_run(order, world)
    if format == Format.json:
        emit(dry_run_json(found))
    else:
        emit(dry_run_text(found, detect_screen()))


def debug_case(order: RunRequest, world: Context) -> None:
    """Hand one case to the debugger."""
    from evalkit.commands.debug import debug

    emit(debug(order, world))
