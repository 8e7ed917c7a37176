"""The command line: options become records, one call is made, its result is rendered, we exit.

Every command imports what it needs when it is called, so that `evalkit --version` costs no more
than Python and typer do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from evalkit import __version__
from evalkit.cli_sight import aa, power
from evalkit.console import emit, real_screen, real_world, say
from evalkit.delivery import check_targets, deliver, leave, print_report, refuse_unlike
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
    OutputFormat,
    Resume,
    RetryErrors,
    RunId,
    RunRef,
    Seed,
    Tags,
    Trials,
    parse_trials,
)

if TYPE_CHECKING:
    from evalkit.deciding import BaselineChoice
    from evalkit.execution import World
    from evalkit.plan import Order
    from evalkit.records import Json


class OneErrorDoor(TyperGroup):
    """The one place where an exception becomes text and an exit code."""

    def invoke(self, ctx: Any) -> Any:  # click's Context, which typer may carry inside itself
        """Run the command; whatever it raises leaves here as a message on stderr."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say("evalkit: interrupted.")
            leave(130)
        except Exception as error:
            # typer's own exceptions are its way of printing help and usage errors.
            if type(error).__module__.startswith(("typer", "click")):
                raise
            leave(tell(error))


def tell(error: Exception) -> int:
    """Say on stderr what went wrong; returns the exit code for it."""
    from evalkit.problems import describe_trouble

    message, code = describe_trouble(error)
    say(message)
    return code


app = typer.Typer(
    name="evalkit",
    cls=OneErrorDoor,
    help="Did the change make the agent worse? Run labelled prompts, score, compare, gate.",
    epilog="Exit codes: 0 passed, 1 failed, 2 invalid input, 3 could not be decided, 4 approval "
    "needed, 5 nothing selected, 70 a bug in evalkit, 130/143 interrupted.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        emit(f"evalkit {__version__}\n")
        raise typer.Exit


@app.callback()
def _evalkit(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print it."),
    ] = False,
) -> None:
    pass


@app.command()
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
    seed: Seed = None,
    agent: Entrypoint = None,
    agent_version: AgentVersion = None,
    baseline: Against = None,
    allow_missing_baseline: AllowMissing = False,
    resume: Resume = False,
    run_id: RunId = None,
    retry_errors: RetryErrors = False,
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
    from evalkit.execution import Choices
    from evalkit.plan import Order
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
            agent_version=agent_version, run_id=run_id, resume=resume, retry_errors=retry_errors
        )
        against = choose_baseline(baseline, allow_missing_baseline)
        deliver(command.run(order, choices, against, world), format, junit, markdown)


@app.command()
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
    from evalkit.execution import Choices
    from evalkit.plan import Order
    from evalkit.reports.findings import recorded_json, recorded_text

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
    if format is Format.json:
        emit(recorded_json(recorded))
    else:
        emit(recorded_text(recorded, real_screen()))


@app.command()
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


@app.command()
def diff(
    base: RunRef,
    candidate: RunRef,
    case: CaseIds = [],  # noqa: B006
    format: OutputFormat = Format.table,  # noqa: A002
    markdown: MarkdownFile = None,
) -> None:
    """Show what changed between two runs."""
    from evalkit.commands.diff import diff as compare_runs
    from evalkit.files import write_whole
    from evalkit.reports.diffs import diff_json, diff_markdown, diff_text

    found = compare_runs(base, candidate, tuple(case), real_world())
    if markdown:
        write_whole(markdown, diff_markdown(found))
    emit(diff_json(found) if format is Format.json else diff_text(found, real_screen()))


@app.command()
def show(
    ref: RunRef,
    case: Annotated[str | None, typer.Argument(metavar="[CASE]", help="One case's id.")] = None,
    flaky: Annotated[
        bool, typer.Option("--flaky", help="How steadily its cases pass, here and in other runs.")
    ] = False,
    format: OutputFormat = Format.table,  # noqa: A002
) -> None:
    """Show a stored run, or one case of it."""
    from evalkit.commands import show as command
    from evalkit.reports.cases import case_json, case_text

    world = real_world()
    if flaky:
        show_flaky(ref, case, world, format)
        return
    if case is None:
        print_report(command.show_run(ref, world), format, rows=None)
        return
    shown = command.show_case(ref, case, world)
    as_text = case_json(shown) if format is Format.json else case_text(shown, real_screen())
    emit(as_text)


app.command()(power)
app.command()(aa)


@app.command()
def validate(
    evalsets: Annotated[list[Path], typer.Argument(metavar="EVALSET...", help="Eval sets.")],
    format: OutputFormat = Format.table,  # noqa: A002
) -> None:
    """Check eval sets, calling no agent."""
    from evalkit.commands.validate import validate as check_sets
    from evalkit.reports.findings import checked_json, checked_text

    checked = check_sets(evalsets, real_world())
    if format is Format.json:
        emit(checked_json(checked))
    else:
        emit(checked_text(checked, real_screen()))


@app.command()
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


@app.command()
def repair(ref: RunRef) -> None:
    """Rescue a stored run with broken lines."""
    from evalkit.commands.repair import repair as drop_broken

    emit(drop_broken(ref, real_world()))


def preview_run(order: Order, world: World, format: Format) -> None:  # noqa: A002
    """Print what a run would do."""
    from evalkit.commands.preview import preview
    from evalkit.reports.findings import preview_json, preview_text

    found = preview(order, world)
    if format is Format.json:
        emit(preview_json(found))
    else:
        emit(preview_text(found, real_screen()))


def show_flaky(ref: str, case: str | None, world: World, format: Format) -> None:  # noqa: A002
    """Print how steadily the cases of a run pass."""
    from evalkit.commands.flaky import weigh_flakiness
    from evalkit.errors import InvalidInput
    from evalkit.reports.flaky import flaky_json, flaky_text

    if case is not None:
        raise InvalidInput.single(f"--flaky shows all cases. Leave out {case!r}, or --flaky.")
    found = weigh_flakiness(ref, world)
    emit(flaky_json(found) if format is Format.json else flaky_text(found, real_screen()))


def debug_case(order: Order, world: World) -> None:
    """Hand one case to the debugger."""
    from evalkit.commands.debug import debug

    emit(debug(order, world))


def choose_baseline(ref: str | None, allow_missing: bool) -> BaselineChoice:
    """The options about the baseline as one record."""
    from evalkit.deciding import BaselineChoice

    return BaselineChoice(ref=ref, allow_missing=allow_missing)


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script."""
    command: Callable[..., Any] = app
    try:
        command(args=list(arguments) if arguments is not None else None, prog_name="evalkit")
    except OSError as error:  # help that could not be printed
        say(f"evalkit: could not write: {error.strerror}.")
        sys.exit(3)
    except Exception as error:  # raised before a command began
        sys.exit(tell(error))
