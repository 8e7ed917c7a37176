"""`evalkit run`: ask the agent, score, store, compare with the baseline, decide."""

from __future__ import annotations

from dataclasses import replace

from evalkit.commands.preview import find_warnings
from evalkit.deciding import (
    BaselineChoice,
    Tolerance,
    judge,
    read_chosen_baseline,
    report_on,
)
from evalkit.errors import InvalidInput, NothingSelected
from evalkit.execution import Execution, execute
from evalkit.hints import Place
from evalkit.plan import Order, Plan
from evalkit.project import find_root, path_in
from evalkit.records import Run
from evalkit.refs import newest_run_of
from evalkit.reports.report import Report
from evalkit.resuming import Choices
from evalkit.verdict import Verdict
from evalkit.world import World


def run(order: Order, choices: Choices, against: BaselineChoice, world: World) -> Report:
    """Carry out a run and decide it, however far it came.

    Raises:
        EvalkitError: nothing could be run, or what was run could not be stored.
    """

    def baseline_of(plan: Plan) -> Run | None:
        root = plan.surroundings.root
        baseline = read_chosen_baseline(
            against, path_in(root, order.path), plan.evalset.name, root=root, cwd=world.cwd
        )
        for warning in find_warnings(plan, baseline):
            world.say(f"warning: {warning}")
        return baseline

    execution = execute(order, choices, world, baseline_of)
    place = Place(root=execution.plan.surroundings.root, cwd=world.cwd)
    return conclude(execution, against, place)


def conclude(execution: Execution, against: BaselineChoice, place: Place) -> Report:
    """Decide a run, however far it came.

    Raises:
        InvalidInput: a judge cannot be asked before the user has mended something.
    """
    verdict = judge(
        execution.run,
        execution.plan.gate,
        execution.baseline,
        Tolerance(
            max_errors=execution.plan.settings.max_errors,
            on_inconclusive=execution.plan.settings.on_inconclusive,
            on_judge_drift=execution.plan.settings.on_judge_drift,
        ),
        place,
        allow_missing=against.allow_missing,
    )
    if execution.refused:
        raise InvalidInput.single(
            f"{execution.refused.message} What was answered is stored; "
            f"go on with: {place.resume(execution.run, retry_errors=True)}",
            execution.refused.where,
        )
    verdict = account_for_end(verdict, execution, place)
    return report_on(execution.run, verdict, execution.baseline, place)


def narrow_to_failed(order: Order, world: World) -> Order:
    """The order, limited to the cases that did not pass in the newest run of the set.

    Raises:
        InvalidInput: the set has never been run.
        NothingSelected: every case passed.
    """
    root = find_root(order.path.parent, world.cwd)
    run = newest_run_of(path_in(root, order.path), root)
    passed = {trial.case_id for trial in run.trials if trial.passed}
    passed -= {trial.case_id for trial in run.trials if not trial.passed}
    failed = frozenset(case.id for case in run.header.cases if case.id not in passed)
    if not failed:
        raise NothingSelected(f"no case failed in run {run.header.id}. Leave out --failed.")
    return replace(order, selection=replace(order.selection, only=failed))


def account_for_end(verdict: Verdict, execution: Execution, place: Place) -> Verdict:
    """The verdict, led by what ended the run early if anything did."""
    tally = verdict.tally
    done = tally.selected - tally.counts["not_run"]
    if execution.stopped_by is not None:
        return replace(
            verdict,
            outcome="undecided",
            exit_code=128 + execution.stopped_by,
            reason=f"interrupted: {done} of {tally.selected} trials are done and stored. "
            f"Go on with: {place.resume(execution.run)}",
        )
    if execution.unreachable:
        last = execution.run.trials[-1].output.error
        return replace(
            verdict,
            reason=f"given up after {done} of {tally.selected} trials, because the agent could not "
            f"be reached ({last.message if last else 'no answer'}). "
            f"When it is back: {place.resume(execution.run, retry_errors=True)}",
        )
    if execution.judge_down:
        return replace(
            verdict,
            reason=f"given up after {done} of {tally.selected} trials, because no judge answers any more "
            f"({execution.judge_down}). "
            f"When one does: {place.resume(execution.run, retry_errors=True)}",
        )
    return verdict
