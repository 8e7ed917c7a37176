"""evalkit run: run eval sets, score them, compare with the baselines, and apply the gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.cli.budget_options import BudgetOptions
from evalkit.cli.console import emit
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
from evalkit.cli.options import EvalSetsArgument
from evalkit.cli.output import (
    create_report_context,
    deliver_and_exit,
    print_result,
    refuse_conflicting_options,
)

if TYPE_CHECKING:
    from evalkit.commands.batch_checks import FixedCommits
    from evalkit.commands.run import ComparisonOptions
    from evalkit.core.context import Context
    from evalkit.core.run_budget import BudgetLimit
    from evalkit.report.model import Report
    from evalkit.runner.records import RunOptions, RunRequest


def run(
    evalsets: EvalSetsArgument,
    selection: SelectionOptions,
    agent: AgentOptions,
    comparison: BaselineOptions,
    settings: SettingOptions,
    resume: ResumeOptions,
    execution: ExecutionOptions,
    printed: ReportOptions,
    files: ReportFiles,
) -> None:
    """Run sets, score them, and apply the gates.

    With several sets, or a folder, print one summary, and exit with the worst code.
    """
    from evalkit.commands import run as command
    from evalkit.core.source_files import may_name_several
    from evalkit.runner.records import RunRequest

    budget = execution.budget
    refuse_ineffective_options(selection, comparison, resume, execution)
    if budget.limit:
        refuse_options_beside_budget(budget, selection, settings, resume, execution)
    if len(evalsets) > 1 or may_name_several(evalsets[0]):
        groups = (selection, agent, comparison, settings, resume, execution)
        run_several(evalsets, groups, printed, files)
        return
    context = create_report_context(printed, files)
    request = RunRequest(
        path=evalsets[0],
        entrypoint=agent.agent,
        selection=selection.build_selection(),
        overrides=settings.build_overrides(),
    )
    # --dry-run and --pdb store no run, so there is nothing to record, gate, or report.
    if execution.dry_run or execution.pdb:
        if selection.last_failed:
            request = command.narrow_to_failed(request, context)
        if execution.dry_run:
            print_dry_run(request, budget, comparison, context, printed)
        else:
            start_debugger(request, context)
        return
    options = replace(
        resume.choose_run(agent.agent_version),
        cache=execution.cache,
        exit_first=execution.exit_first,
        reports=tuple(files.values()),
    )
    compared = command.ComparisonOptions(
        gate=comparison.choose_gate(),
        baseline=comparison.choose_baseline(),
        against=execution.against,
        budget=budget.limit,
    )
    report = run_only_set(request, options, compared, context, failed_only=selection.last_failed)
    deliver_and_exit(report, printed, files)


def run_only_set(
    request: RunRequest,
    options: RunOptions,
    compared: ComparisonOptions,
    context: Context,
    *,
    failed_only: bool,
) -> Report:
    """Run one set, and record that it ran, or why not."""
    from evalkit.cli.errors import describe_error
    from evalkit.commands import run as command
    from evalkit.commands.batch_record import record_only_set

    compared = command.fix_compared_run(compared, request, context)
    with record_only_set(request.path, options, describe_error, context) as record:
        if failed_only:
            request = command.narrow_to_failed(request, context)
        report = command.run(request, options, compared, context)
        record(report.run.header)
    return report


def start_debugger(request: RunRequest, context: Context) -> None:
    """Run one case in this process, where a debugger can stop it."""
    from evalkit.cli.private_process import PROCESS
    from evalkit.commands.debug import debug

    PROCESS.give_back()
    emit(debug(request, context))


def run_several(
    evalsets: Sequence[Path],
    groups: tuple[
        SelectionOptions,
        AgentOptions,
        BaselineOptions,
        SettingOptions,
        ResumeOptions,
        ExecutionOptions,
    ],
    printed: ReportOptions,
    files: ReportFiles,
) -> None:
    """Run several sets, or all sets of a folder."""
    from evalkit.cli.run_sets import SetCommands, SetsOptions, run_sets
    from evalkit.commands import run as command
    from evalkit.commands.dry_run import plan_dry_run

    given = SetsOptions(*groups)

    def run_one(
        request: RunRequest, options: RunOptions, commits: FixedCommits, budget: BudgetLimit
    ) -> Report:
        compared = command.ComparisonOptions(
            gate=commits.gate or given.comparison.choose_gate(),
            baseline=given.comparison.choose_baseline(),
            against=commits.against,
            budget=budget,
        )
        return command.run(request, options, compared, context)

    context = create_report_context(printed, files)

    def share(
        limit: BudgetLimit, requests: Sequence[RunRequest], context: Context, agents: int
    ) -> Sequence[BudgetLimit]:
        # Import it here, because it loads numpy, which only a budget needs.
        from evalkit.commands.budget_shares import share_budget

        return share_budget(limit, requests, context, agents=agents)

    commands = SetCommands(run_one, command.narrow_to_failed, plan_dry_run, share)
    run_sets(evalsets, given, commands, context, printed, files)


def refuse_ineffective_options(
    selection: SelectionOptions,
    comparison: BaselineOptions,
    resume: ResumeOptions,
    execution: ExecutionOptions,
) -> None:
    """Refuse combinations of options in which one would have no effect."""
    against, dry_run, pdb = execution.against, execution.dry_run, execution.pdb
    base = comparison.base is not None
    require = comparison.require_base
    refuse_conflicting_options(
        resume.conflict,
        ("--dry-run and --resume exclude each other", dry_run and resume.resume),
        (
            "--against runs its own baseline; leave out --baseline",
            bool(against and comparison.baseline),
        ),
        ("--against compares whole sets; leave out --shard", bool(against and selection.shard)),
        ("--against runs both versions; leave out --cache", bool(against) and execution.cache),
        ("--against requires a gated run; leave out --dry-run", bool(against) and dry_run),
        ("--against requires a gated run; leave out --pdb", bool(against) and pdb),
        ("--base requires a gated run; leave out --dry-run", dry_run and base),
        ("--base requires a gated run; leave out --pdb", pdb and base),
        ("--require-base requires a gated run; leave out --dry-run", dry_run and require),
        ("--require-base requires a gated run; leave out --pdb", pdb and require),
    )


def refuse_options_beside_budget(
    budget: BudgetOptions,
    selection: SelectionOptions,
    settings: SettingOptions,
    resume: ResumeOptions,
    execution: ExecutionOptions,
) -> None:
    """Refuse options that decide the number of trials, or leave it open, beside a budget."""
    refuse_conflicting_options(
        budget.conflict,
        ("a budget decides the trials; leave out --trials", settings.trials is not None),
        ("a budget is for all cases; leave out --shard", bool(selection.shard)),
        ("--resume keeps the run's budget; leave out the budget", resume.resume),
        ("--pdb runs one case; leave out the budget", execution.pdb),
    )


def print_dry_run(
    request: RunRequest,
    budget: BudgetOptions,
    comparison: BaselineOptions,
    context: Context,
    printed: ReportOptions,
) -> None:
    """Print what a run would do."""
    from evalkit.commands.dry_run import plan_dry_run
    from evalkit.report.dry_run import dry_run_json, dry_run_text

    preview = plan_dry_run(request, budget.limit, comparison.choose_baseline(), context)
    print_result(preview, printed, dry_run_json, dry_run_text)
