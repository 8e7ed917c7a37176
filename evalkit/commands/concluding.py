"""A run that was carried out into its report: decided, however far it came."""

from __future__ import annotations

from dataclasses import replace

from evalkit.basing import Basis
from evalkit.deciding import Tolerance, judge, report_on, review_verdict
from evalkit.errors import InvalidInput
from evalkit.execution import Execution
from evalkit.hints import Place
from evalkit.refs import BaselineChoice
from evalkit.reports.report import Report
from evalkit.spelling import count_of
from evalkit.verdict import Verdict


def conclude(
    execution: Execution, against: BaselineChoice, basis: Basis | None, place: Place
) -> Report:
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
    review = basis.review_of(execution.plan.selection) if basis else None
    if not execution.plan.selection.shard:
        verdict = review_verdict(verdict, review)
    baseline = basis.show(execution.baseline) if basis else execution.baseline
    return report_on(execution.run, verdict, baseline, place)


def account_for_end(verdict: Verdict, execution: Execution, place: Place) -> Verdict:
    """The verdict, led by what ended the run early if anything did."""
    tally = verdict.tally
    done = tally.selected - tally.counts["not_run"]
    waiting = f", and {count_of(execution.waiting, 'answer')} more" if execution.waiting else ""
    if execution.stopped_by is not None:
        return replace(
            verdict,
            outcome="undecided",
            exit_code=128 + execution.stopped_by,
            reason=f"interrupted: {done} of {tally.selected} trials are done and stored{waiting}. "
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
