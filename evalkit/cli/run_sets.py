"""Run several eval sets with one command: check all of them, run one after another, decide them together."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evalkit.cli.console import read_typed_words
from evalkit.cli.errors import describe_error
from evalkit.cli.execution_options import ExecutionOptions
from evalkit.cli.option_groups import (
    AgentOptions,
    BaselineOptions,
    ReportFiles,
    ReportOptions,
    ResumeOptions,
    SelectionOptions,
    SettingOptions,
)
from evalkit.cli.output import (
    deliver_batch_and_exit,
    print_result,
    refuse_conflicting_options,
)

if TYPE_CHECKING:
    from evalkit.ci.unrun_sets import UnrunSet
    from evalkit.commands.batch import PlannedPart
    from evalkit.commands.batch_checks import CheckedRequest, FixedCommits
    from evalkit.commands.batch_record import BatchLog
    from evalkit.core.context import Context
    from evalkit.core.run_budget import BudgetLimit
    from evalkit.evalset.set_files import FoundSets
    from evalkit.report.batch import Batch, BatchPart
    from evalkit.report.dry_run import DryRun
    from evalkit.report.model import Hint, Report
    from evalkit.runner.records import RunOptions, RunRequest
    from evalkit.store.refs import BaselineChoice


class SetsOptions(NamedTuple):
    """The options that hold for each of the sets."""

    selection: SelectionOptions
    agent: AgentOptions
    comparison: BaselineOptions
    settings: SettingOptions
    resume: ResumeOptions
    execution: ExecutionOptions


class SetCommands(NamedTuple):
    """What is done with a set: run it, limit it to the cases that failed last, or preview its run.

    `share` divides a budget among sets, with the number of agents that each run calls.
    """

    run: Callable[[RunRequest, RunOptions, FixedCommits, BudgetLimit], Report]
    narrow: Callable[[RunRequest, Context], RunRequest]
    preview: Callable[[RunRequest, BudgetLimit, BaselineChoice, Context], DryRun]
    share: Callable[[BudgetLimit, Sequence[RunRequest], Context, int], Sequence[BudgetLimit]]


def run_sets(
    evalsets: Sequence[Path],
    given: SetsOptions,
    commands: SetCommands,
    context: Context,
    printed: ReportOptions,
    files: ReportFiles,
) -> None:
    """Run the sets of files, folders, and patterns, print one summary, and exit with the worst code."""
    from evalkit.commands.batch import BatchOptions, run_parts
    from evalkit.commands.batch_checks import find_unrun
    from evalkit.commands.batch_record import BatchLog

    refuse_options_of_one_set(given)
    found = find_recorded_sets(evalsets, given, context)
    if given.execution.dry_run:
        checked = check_sets(found.sets, given, commands, context)
        limits = share_limits(checked, given, commands, context)
        print_dry_runs(checked, limits, given, commands, context, printed)
        return
    log = BatchLog(found.sets, context)
    try:
        checked = check_sets(found.sets, given, commands, context)
        limits = share_limits(checked, given, commands, context)
        cases, last_failed = given.selection.build_selection(), given.selection.last_failed
        unrun = find_unrun(evalsets, checked, cases, context, last_failed=last_failed)
    except Exception as error:
        log.refuse(*describe_error(error))
        raise add_nothing_was_run(error, len(found.sets)) from error
    accepts = given.comparison.choose_gate().accept
    refused = () if accepts else unrun
    log.refuse_unrun(refused)
    reports = tuple(files.values())
    planned = [
        *map(plan_refusal, refused),
        *plan_parts(checked, limits, given, commands, context, log, reports),
    ]

    def record(number: int, part: BatchPart) -> None:
        # Sets that are refused come first here, and last in the record, which has them already.
        if number >= len(refused):
            log.end(number - len(refused), part)

    options = BatchOptions(exit_first=given.execution.exit_first, record=record)
    if not printed.quiet:
        if found.skipped:
            context.say(f"other files: {', '.join(map(str, found.skipped))}")
        options = replace(
            options,
            announce=lambda part, number: context.say(f"{part.label} ({number} of {len(planned)})"),
            report=partial(say_part, context=context),
        )
    batch = run_parts(planned, describe_error, options, context)
    notes = (
        *(f"{each.path} is not run any more, which was approved" for each in unrun if accepts),
        *(f"skipped {other}" for other in found.skipped if other.is_unknown),
    )
    hints = tuple(suggest_commands(batch, evalsets))
    deliver_batch_and_exit(replace(batch, notes=notes, hints=hints), printed, files)


def find_recorded_sets(evalsets: Sequence[Path], given: SetsOptions, context: Context) -> FoundSets:
    """Return the sets of files, folders, and patterns; if there are none, record that nothing ran."""
    from evalkit.commands.batch_record import record_missing_sets
    from evalkit.evalset.set_files import find_sets

    try:
        return find_sets(evalsets)
    except Exception as error:
        if not given.execution.dry_run:
            record_missing_sets(evalsets, error, describe_error, context)
        raise


def refuse_options_of_one_set(given: SetsOptions) -> None:
    """Refuse options that mean something for one set only."""
    refuse_conflicting_options(
        *given.resume.conflicts_with_several,
        (
            "--baseline names a run of one set; name that set",
            given.comparison.baseline is not None,
        ),
        ("--pdb runs one case of one set; name that set", given.execution.pdb),
    )


def check_sets(
    paths: Sequence[Path], given: SetsOptions, commands: SetCommands, context: Context
) -> tuple[CheckedRequest, ...]:
    """Check every set with the selected cases, and find the commits that its run needs."""
    from evalkit.commands.batch_checks import check_requests, fix_commits
    from evalkit.runner.records import RunRequest

    def narrow(request: RunRequest) -> RunRequest:
        failed_only = given.selection.last_failed
        return commands.narrow(request, context) if failed_only else request

    # Before any code of a set is loaded, because it could move a branch.
    gate, against = given.comparison.choose_gate(), given.execution.against
    commits = fix_commits(gate, against, paths, context)
    requests = [
        RunRequest(
            path=path,
            entrypoint=given.agent.agent,
            selection=given.selection.build_selection(),
            overrides=given.settings.build_overrides(),
        )
        for path in paths
    ]
    return check_requests(requests, commits, narrow, context)


def add_nothing_was_run(error: Exception, sets: int) -> Exception:
    """Return an error in one of several sets that also says that the others were not run."""
    from evalkit.core.errors import InvalidInput
    from evalkit.core.location import Problem

    if sets == 1 or not isinstance(error, InvalidInput):
        return error
    return InvalidInput([*error.problems, Problem(message=f"none of the {sets} sets was run.")])


def share_limits(
    checked: Sequence[CheckedRequest], given: SetsOptions, commands: SetCommands, context: Context
) -> tuple[BudgetLimit, ...]:
    """Return the budget of each set; without a budget, none has one."""
    limit = given.execution.budget.limit
    if not limit:
        return (limit,) * len(checked)
    selected = [each.request for each in checked if each.unselected is None]
    agents = 2 if given.execution.against is not None else 1
    shares = iter(commands.share(limit, selected, context, agents))
    return tuple(next(shares) if each.unselected is None else limit for each in checked)


def plan_parts(
    checked: Sequence[CheckedRequest],
    limits: Sequence[BudgetLimit],
    given: SetsOptions,
    commands: SetCommands,
    context: Context,
    log: BatchLog,
    reports: tuple[Path, ...],
) -> list[PlannedPart]:
    """Return the run of each set."""
    from evalkit.ci.set_guard import refuse_changed_set
    from evalkit.commands.batch import PlannedPart
    from evalkit.commands.shared_limit import SharedLimit
    from evalkit.report.batch import choose_labels

    shared = SharedLimit(given.settings.max_cost_usd, context)
    base_options = replace(
        given.resume.choose_run(given.agent.agent_version),
        cache=given.execution.cache,
        exit_first=given.execution.exit_first,
        reports=reports,
        batch=log.id,
    )
    labels = choose_labels([(each.name, str(each.request.path)) for each in checked])

    def run_set(number: int, limit: BudgetLimit) -> Report:
        each = checked[number]
        if each.unselected is not None:
            raise each.unselected
        refuse_changed_set(each.request.path, each.definition, context)
        request, options = shared.apply(each.request, base_options, each.name)
        log.begin(number, labels[number], options.run_id or "")
        try:
            return commands.run(request, options, each.commits, limit)
        finally:
            shared.count(request, options)

    return [
        PlannedPart(
            label=labels[number], path=str(each.request.path), run=partial(run_set, number, limit)
        )
        for number, (each, limit) in enumerate(zip(checked, limits, strict=True))
    ]


def plan_refusal(unrun: UnrunSet) -> PlannedPart:
    """Return the part of a set that is at the base and is not run now."""
    from evalkit.commands.batch import PlannedPart
    from evalkit.core.errors import ApprovalNeeded

    def refuse() -> Report:
        raise ApprovalNeeded(unrun.problem)

    return PlannedPart(label=unrun.path, path=unrun.path, run=refuse)


def print_dry_runs(
    checked: Sequence[CheckedRequest],
    limits: Sequence[BudgetLimit],
    given: SetsOptions,
    commands: SetCommands,
    context: Context,
    printed: ReportOptions,
) -> None:
    """Print what the runs would do, and their cost in total."""
    from evalkit.report.dry_run import DryRuns, dry_runs_json, dry_runs_text

    previews = [
        commands.preview(each.request, limit, given.comparison.choose_baseline(), context)
        for each, limit in zip(checked, limits, strict=True)
        if each.unselected is None
    ]
    without = tuple(f"{each.name}: {each.unselected}" for each in checked if each.unselected)
    found = DryRuns(
        previews=tuple(previews), unselected=without, max_cost_usd=given.settings.max_cost_usd
    )
    print_result(found, printed, dry_runs_json, dry_runs_text)


def say_part(part: BatchPart, context: Context) -> None:
    """Say how one run ended; for one that an error stopped, all problems."""
    from evalkit.report.batch_terminal import render_part
    from evalkit.report.screen import Screen

    if part.state == "stopped":
        context.say(f"{part.word}  {part.label}\n{part.problem}")
    else:
        width = min(100, shutil.get_terminal_size().columns)
        context.say(render_part(part, Screen(width=width)))


def suggest_commands(batch: Batch, evalsets: Sequence[Path]) -> Iterator[Hint]:
    """Yield the commands that continue what did not end."""
    from evalkit.report.model import Hint

    for part in batch.parts:
        for hint in part.report.hints if part.report else ():
            if hint.label == "resume":
                yield Hint(label=f"resume {part.label}", command=hint.command)
    left = [part.path for part in batch.parts if part.report is None and part.has_no_result]
    if left:
        named = {str(path) for path in evalsets}
        options = [word for word in read_typed_words()[1:] if str(Path(word)) not in named]
        yield Hint(label="run the rest", command=shlex.join(["evalkit", "run", *left, *options]))
    typed = [str(path) for path in evalsets]
    without = [
        report
        for report in batch.reports
        if report.baseline is None and report.run.finished and report.gate_result.exit_code == 3
    ]
    if len(without) > 1:
        command = shlex.join(["evalkit", "baseline", *typed])
        yield Hint(label="record the baselines of all", command=command)
    if left or any(part.report and not part.report.run.finished for part in batch.parts):
        yield Hint(label="then decide all", command=shlex.join(["evalkit", "gate", *typed]))
    elif batch.exit_code and len(batch.reports) > 1:
        yield Hint(label="everything", command="evalkit show latest -v")
