"""The commands that run a set and decide: run, baseline, gate, merge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.console import emit, real_screen, real_world
from evalkit.delivery import check_targets, deliver, refuse_unlike
from evalkit.options import (
    AcceptChanges,
    Against,
    AgentVersion,
    AllowMissing,
    Alongside,
    Base,
    CaseIds,
    Concurrency,
    CsvFile,
    CtrfFile,
    Entrypoint,
    EvalSetPath,
    Expression,
    Format,
    HtmlFile,
    JunitFile,
    MarkdownFile,
    MaxErrors,
    OnInconclusive,
    OnJudgeDrift,
    OutputFormat,
    PrintedAs,
    ReportFormat,
    Resume,
    RetryErrors,
    RunId,
    RunRef,
    Seed,
    Tags,
    Targets,
    Trials,
    UseCache,
    parse_trials,
)

if TYPE_CHECKING:
    from evalkit.basing import GateChoice
    from evalkit.findings import Recorded
    from evalkit.plan import Order
    from evalkit.records import Json
    from evalkit.refs import BaselineChoice
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
    base: Base = None,
    accept_gate_changes: AcceptChanges = False,
    against: Alongside = None,
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
    format: PrintedAs = ReportFormat.table,  # noqa: A002 - the option's name
    junit: JunitFile = None,
    markdown: MarkdownFile = None,
    html: HtmlFile = None,
    csv: CsvFile = None,
    ctrf: CtrfFile = None,
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
        ("--against brings its own baseline; leave out --baseline", bool(against and baseline)),
        ("--against decides at once; leave out --shard", bool(against and shard)),
        ("--against runs both versions now; leave out --cache", bool(against) and cache),
        ("--against is for a run that decides; leave out --dry-run", bool(against) and dry_run),
        ("--against is for a run that decides; leave out --pdb", bool(against) and pdb),
        ("--base is for a run that decides; leave out --dry-run", dry_run and base is not None),
        ("--base is for a run that decides; leave out --pdb", pdb and base is not None),
    )
    targets = Targets(junit=junit, markdown=markdown, html=html, csv=csv, ctrf=ctrf)
    check_targets(*targets)
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
        opposite = command.Opposite(
            gate=choose_gate(base, accept_gate_changes),
            baseline=choose_baseline(baseline, allow_missing_baseline),
            against=against,
        )
        deliver(command.run(order, choices, opposite, world), format, targets)


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
    base: Base = None,
    accept_gate_changes: AcceptChanges = False,
    format: PrintedAs = ReportFormat.table,  # noqa: A002
    junit: JunitFile = None,
    markdown: MarkdownFile = None,
    html: HtmlFile = None,
    csv: CsvFile = None,
    ctrf: CtrfFile = None,
) -> None:
    """Decide a stored run again, paying nothing."""
    from evalkit.commands.gate import gate as decide_again

    targets = Targets(junit=junit, markdown=markdown, html=html, csv=csv, ctrf=ctrf)
    check_targets(*targets)
    against = choose_baseline(baseline, allow_missing_baseline)
    choice = choose_gate(base, accept_gate_changes)
    deliver(decide_again(ref, against, choice, real_world()), format, targets)


def score(
    ref: RunRef,
    evalset: Annotated[
        Path | None,
        typer.Option(
            "--set",
            metavar="EVALSET",
            help="Believe a run from elsewhere only its outputs, as answers to this set.",
        ),
    ] = None,
    concurrency: Concurrency = None,
    baseline: Against = None,
    allow_missing_baseline: AllowMissing = False,
    base: Base = None,
    accept_gate_changes: AcceptChanges = False,
    format: PrintedAs = ReportFormat.table,  # noqa: A002
    junit: JunitFile = None,
    markdown: MarkdownFile = None,
    html: HtmlFile = None,
    csv: CsvFile = None,
    ctrf: CtrfFile = None,
) -> None:
    """Score stored outputs again, asking no agent."""
    from evalkit.commands.score import Source
    from evalkit.commands.score import score as score_again
    from evalkit.reports.report import Report

    targets = Targets(junit=junit, markdown=markdown, html=html, csv=csv, ctrf=ctrf)
    check_targets(*targets)
    against = choose_baseline(baseline, allow_missing_baseline)
    choice = choose_gate(base, accept_gate_changes)
    scored = score_again(
        Source(ref=ref, evalset=evalset),
        {"concurrency": concurrency},
        against,
        choice,
        real_world(),
    )
    if isinstance(scored, Report):
        deliver(scored, format, targets)
    print_recorded(scored, format)


def merge(
    refs: Annotated[list[str], typer.Argument(metavar="RUN...", help="All parts of one run.")],
    baseline: Against = None,
    allow_missing_baseline: AllowMissing = False,
    base: Base = None,
    accept_gate_changes: AcceptChanges = False,
    format: PrintedAs = ReportFormat.table,  # noqa: A002
    junit: JunitFile = None,
    markdown: MarkdownFile = None,
    html: HtmlFile = None,
    csv: CsvFile = None,
    ctrf: CtrfFile = None,
) -> None:
    """Join the parts of a sharded run."""
    from evalkit.commands.merge import merge as join

    targets = Targets(junit=junit, markdown=markdown, html=html, csv=csv, ctrf=ctrf)
    check_targets(*targets)
    against = choose_baseline(baseline, allow_missing_baseline)
    choice = choose_gate(base, accept_gate_changes)
    deliver(join(refs, against, choice, real_world()), format, targets)


def preview_run(order: Order, world: World, format: Format | ReportFormat) -> None:  # noqa: A002
    """Print what a run would do."""
    from evalkit.commands.preview import preview
    from evalkit.reports.findings import preview_json, preview_text

    found = preview(order, world)
    if format == Format.json:
        emit(preview_json(found))
    else:
        emit(preview_text(found, real_screen()))


def print_recorded(recorded: Recorded, format: Format | ReportFormat) -> None:  # noqa: A002
    """Print what a baseline was made of."""
    from evalkit.reports.findings import recorded_json, recorded_text

    if format == Format.json:
        emit(recorded_json(recorded))
    else:
        emit(recorded_text(recorded, real_screen()))


def debug_case(order: Order, world: World) -> None:
    """Hand one case to the debugger."""
    from evalkit.commands.debug import debug

    emit(debug(order, world))


def choose_baseline(ref: str | None, allow_missing: bool) -> BaselineChoice:
    """The options about the baseline as one record."""
    from evalkit.refs import BaselineChoice

    return BaselineChoice(ref=ref, allow_missing=allow_missing)


def choose_gate(base: str | None, accept: bool) -> GateChoice:
    """The options about where the gate's definition comes from as one record."""
    from evalkit.basing import GateChoice

    return GateChoice(base=base, accept=accept)
