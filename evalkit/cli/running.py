"""The commands that run a set and decide: run, baseline, gate, merge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.console import emit, real_screen, real_world
from evalkit.delivery import check_targets, deliver, refuse_unlike
from evalkit.options import (
    Against,
    AgentVersion,
    AllowMissing,
    CaseIds,
    Concurrency,
    Entrypoint,
    EvalSetPath,
    Expression,
    Format,
    JunitFile,
    MarkdownFile,
    MaxErrors,
    OnInconclusive,
    OnJudgeDrift,
    OutputFormat,
    Resume,
    RetryErrors,
    RunId,
    RunRef,
    Seed,
    Tags,
    Trials,
    UseCache,
    parse_trials,
)

if TYPE_CHECKING:
    from evalkit.deciding import BaselineChoice
    from evalkit.findings import Recorded
    from evalkit.plan import Order
    from evalkit.records import Json
    from evalkit.world import World


def run(
    evalset: EvalSetPath,
    expression: Expression = None,
    tag: Tags = [],  # noqa: B006 - typer copies it
    case: CaseIds = [],  # noqa: B006
    failed: Annotated[bool, typer.Option("--failed", help="What failed in the last run.")] = False,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Part I of N equal parts.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many cases.")] = None,
    trials: Trials = None,
    concurrency: Concurrency = None,
    max_errors: MaxErrors = None,
    on_inconclusive: OnInconclusive = None,
    on_judge_drift: OnJudgeDrift = None,
    seed: Seed = None,
    agent: Entrypoint = None,
    agent_version: AgentVersion = None,
    baseline: Against = None,
    allow_missing_baseline: AllowMissing = False,
    resume: Resume = False,
    run_id: RunId = None,
    retry_errors: RetryErrors = False,
    cache: UseCache = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run and what it costs.")
    ] = False,
    pdb: Annotated[
        bool, typer.Option("--pdb", help="Run one case in this process, under the debugger.")
    ] = False,
    format: OutputFormat = Format.table,  # noqa: A002 - the option's name
    junit: JunitFile = None,
    markdown: MarkdownFile = None,
) -> None:
    """Run, score, compare with the baseline, gate."""
    from evalkit.commands import run as command
    from evalkit.plan import Order
    from evalkit.resuming import Choices
    from evalkit.selection import Selection, parse_shard

    refuse_unlike(
        ("--retry-errors goes with --resume", retry_errors and not resume),
        ("--dry-run and --resume do not go together", dry_run and resume),
        ("--agent-version is empty", agent_version == ""),
        ("--agent is empty", agent == ""),
        ("--baseline is empty", baseline == ""),
    )
    check_targets(junit, markdown)
    world = real_world()
    order = Order(
        path=evalset,
        entrypoint=agent,
        selection=Selection(
            case_ids=tuple(case),
            tags=tuple(tag),
            expression=expression,
            shard=parse_shard(shard) if shard is not None else None,
            limit=limit,
        ),
        overrides={
            "trials": parse_trials(trials),
            "concurrency": concurrency,
            "max_errors": max_errors,
            "on_inconclusive": on_inconclusive.value if on_inconclusive else None,
            "on_judge_drift": on_judge_drift.value if on_judge_drift else None,
            "seed": seed,
        },
    )
    if failed:
        order = command.narrow_to_failed(order, world)
    if dry_run:
        preview_run(order, world, format)
    elif pdb:
        debug_case(order, world)
    else:
        choices = Choices(
            agent_version=agent_version,
            run_id=run_id,
            resume=resume,
            retry_errors=retry_errors,
            cache=cache,
        )
        against = choose_baseline(baseline, allow_missing_baseline)
        deliver(command.run(order, choices, against, world), format, junit, markdown)


def baseline(
    evalset: EvalSetPath,
    source: Annotated[
        str | None, typer.Option("--from", metavar="RUN", help="Promote this run; run nothing.")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trials of every case to record (default 10).")
    ] = None,
    concurrency: Concurrency = None,
    max_errors: MaxErrors = None,
    seed: Seed = None,
    agent: Entrypoint = None,
    agent_version: AgentVersion = None,
    resume: Resume = False,
    run_id: RunId = None,
    retry_errors: RetryErrors = False,
    format: OutputFormat = Format.table,  # noqa: A002
) -> None:
    """Record or promote the baseline."""
    from evalkit.commands import baseline as command
    from evalkit.plan import Order
    from evalkit.resuming import Choices

    refuse_unlike(
        ("--retry-errors goes with --resume", retry_errors and not resume),
        ("--from runs nothing, so it has nothing to resume", source is not None and resume),
        ("--agent-version is empty", agent_version == ""),
        ("--from is empty", source == ""),
    )
    world = real_world()
    overrides: dict[str, Json] = {
        "trials": trials,
        "concurrency": concurrency,
        "max_errors": max_errors,
        "seed": seed,
    }
    order = Order(path=evalset, entrypoint=agent, overrides=overrides)
    if source is None:
        choices = Choices(
            agent_version=agent_version, run_id=run_id, resume=resume, retry_errors=retry_errors
        )
        recorded = command.record(order, choices, world)
    else:
        recorded = command.promote_stored(order, source, world)
    print_recorded(recorded, format)


def gate(
    ref: RunRef,
    baseline: Against = None,
    allow_missing_baseline: AllowMissing = False,
    format: OutputFormat = Format.table,  # noqa: A002
    junit: JunitFile = None,
    markdown: MarkdownFile = None,
) -> None:
    """Decide a stored run again, paying nothing."""
    from evalkit.commands.gate import gate as decide_again

    check_targets(junit, markdown)
    against = choose_baseline(baseline, allow_missing_baseline)
    deliver(decide_again(ref, against, real_world()), format, junit, markdown)


def score(
    ref: RunRef,
    concurrency: Concurrency = None,
    baseline: Against = None,
    allow_missing_baseline: AllowMissing = False,
    format: OutputFormat = Format.table,  # noqa: A002
    junit: JunitFile = None,
    markdown: MarkdownFile = None,
) -> None:
    """Score stored outputs again, asking no agent."""
    from evalkit.commands.score import score as score_again
    from evalkit.reports.report import Report

    check_targets(junit, markdown)
    against = choose_baseline(baseline, allow_missing_baseline)
    scored = score_again(ref, {"concurrency": concurrency}, against, real_world())
    if isinstance(scored, Report):
        deliver(scored, format, junit, markdown)
    print_recorded(scored, format)


def merge(
    refs: Annotated[list[str], typer.Argument(metavar="RUN...", help="All parts of one run.")],
    baseline: Against = None,
    allow_missing_baseline: AllowMissing = False,
    format: OutputFormat = Format.table,  # noqa: A002
    junit: JunitFile = None,
    markdown: MarkdownFile = None,
) -> None:
    """Join the parts of a sharded run."""
    from evalkit.commands.merge import merge as join

    check_targets(junit, markdown)
    against = choose_baseline(baseline, allow_missing_baseline)
    deliver(join(refs, against, real_world()), format, junit, markdown)


def preview_run(order: Order, world: World, format: Format) -> None:  # noqa: A002
    """Print what a run would do."""
    from evalkit.commands.preview import preview
    from evalkit.reports.findings import preview_json, preview_text

    found = preview(order, world)
    if format is Format.json:
        emit(preview_json(found))
    else:
        emit(preview_text(found, real_screen()))


def print_recorded(recorded: Recorded, format: Format) -> None:  # noqa: A002
    """Print what a baseline was made of."""
    from evalkit.reports.findings import recorded_json, recorded_text

    if format is Format.json:
        emit(recorded_json(recorded))
    else:
        emit(recorded_text(recorded, real_screen()))


def debug_case(order: Order, world: World) -> None:
    """Hand one case to the debugger."""
    from evalkit.commands.debug import debug

    emit(debug(order, world))


def choose_baseline(ref: str | None, allow_missing: bool) -> BaselineChoice:
    """The options about the baseline as one record."""
    from evalkit.deciding import BaselineChoice

    return BaselineChoice(ref=ref, allow_missing=allow_missing)
