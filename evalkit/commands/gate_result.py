"""A stored run, its gate and its baseline, brought together into a verdict and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Literal

from evalkit.ci.base import BaseGate
from evalkit.commands.human_mean import add_human_means
from evalkit.compare.call_stats import compute_call_stats
from evalkit.core.errors import ApprovalNeeded, InvalidInput
from evalkit.core.eval_set import Rule
from evalkit.core.format import format_count, name_rule
from evalkit.core.gate_result import GateResult, GateReview
from evalkit.core.literals import Json
from evalkit.core.run import Run
from evalkit.gate.decide import decide_gate
from evalkit.gate.judge_trust import explain_failed_controls
from evalkit.gate.sequential import looks_note
from evalkit.report.model import Hint, Report
from evalkit.report.next_steps import CommandHints
from evalkit.runner.execute import Execution
from evalkit.store.refs import BaselineChoice
from evalkit.store.run_spans import attach_spans, read_run_spans
from evalkit.trace.warnings import find_trace_warnings


@dataclass(frozen=True, kw_only=True, slots=True)
class GatePolicy:
    """What a run may lack and still pass; see Settings for the meaning of the fields."""

    max_errors: int = 0
    on_inconclusive: Literal["pass", "fail"] = "pass"
    on_judge_drift: Literal["warn", "fail"] = "warn"

    @classmethod
    def from_settings(cls, settings: Mapping[str, Json]) -> GatePolicy:
        """What a stored run's settings say."""
        return cls(
            max_errors=settings.get("max_errors", 0),
            on_inconclusive=settings.get("on_inconclusive", "pass"),
            on_judge_drift=settings.get("on_judge_drift", "warn"),
        )


def evaluate_gate(  # noqa: PLR0913 - what is decided, and by what
    run: Run,
    rules: Sequence[Rule],
    baseline: Run | None,
    tolerance: GatePolicy,
    place: CommandHints,
    *,
    allow_missing: bool,
) -> GateResult:
    """Decide a run, whatever stage it stopped at; pays nothing and changes nothing."""
    rules, left_out = select_rules(run, rules)
    trusted = run.trust.warnings if run.trust else ()
    notes = [*run.warnings, *trusted, *(baseline.warnings if baseline else ()), *left_out]
    notes += find_trace_warnings((*run.trials, *run.fresh))
    if baseline is None and allow_missing:
        compared = [rule for rule in rules if rule.compares]
        rules = [rule for rule in rules if not rule.compares]
        if compared:
            notes.append(
                f"NO BASELINE: {format_count(len(compared), 'threshold')} that would compare with it "
                f"left out. Nothing kept this run from being worse than the last one."
            )
    verdict = decide_gate(
        rules,
        run,
        baseline,
        max_errors=tolerance.max_errors,
        on_inconclusive=tolerance.on_inconclusive,
        on_judge_drift=tolerance.on_judge_drift,
        baseline_problem=(
            f"there is no baseline yet. Make this run it: {place.promote(run)}; "
            f"or record 10 trials a case: {place.record(run)}"
        ),
    )
    looked = looks_note(run, verdict)
    verdict = replace(verdict, notes=(*([looked] if looked else ()), *notes, *verdict.notes))
    return add_human_means(verdict, run, place.root)


def apply_gate_review(verdict: GateResult, review: GateReview | None) -> GateResult:
    """The verdict with what a change does to its own gate; unapproved loosening outweighs what it was.

    What was interrupted stays so, and a part of a run leaves it to the whole.
    """
    if review is None:
        return verdict
    verdict = replace(verdict, gate=review, notes=(*review.notes, *verdict.notes))
    loosening = review.loosening
    if review.accepted or not loosening or verdict.exit_code > 128:
        return verdict
    others = len(loosening) - 1
    more = f" and {format_count(others, 'other edit')}" if others else ""
    return replace(
        verdict,
        outcome="undecided",
        exit_code=ApprovalNeeded.exit_code,
        reason=f"This change needs approval, because it loosens the gate it is held to: "
        f"{loosening[0].sentence}{more}. "
        f"Under the rules of {review.base} it comes to {verdict.outcome.upper()}: {verdict.reason}",
    )


def select_rules(run: Run, rules: Sequence[Rule]) -> tuple[Sequence[Rule], tuple[str, ...]]:
    """The rules that a run of a part of its set can be held to, and a note on the others.

    Of a shard nothing is decided, because its part of the evidence is not all of it.
    """
    header = run.header
    if header.shard:
        return (), (f"Part {header.shard}: the thresholds are decided by `evalkit merge`.",)
    if not header.selection:
        return rules, ()
    tags = {tag for case in header.cases for tag in case.tags}
    metrics = {score.metric for trial in run.trials for score in trial.scores}
    about = [rule for rule in rules if _applies_to(rule, tags, metrics)]
    left_out = [name_rule(rule) for rule in rules if rule not in about]
    if not left_out:
        return rules, ()
    return about, (f"Not decided, as no selected case is about it: {', '.join(left_out)}.",)


def _applies_to(rule: Rule, tags: Set[str], metrics: Set[str]) -> bool:
    if rule.must_pass:
        return bool(tags & set(rule.must_pass))
    if rule.tag is not None and rule.tag not in tags:
        return False
    # Without any score it is not known which metrics the cases have; then nothing is left out.
    return not rule.metric or not metrics or rule.metric in metrics


def build_report(
    run: Run, verdict: GateResult, baseline: Run | None, place: CommandHints
) -> Report:
    """The run with its verdict, what its trials called, and the commands that lead on from here.

    Raises:
        StoreError: the steps of its trials are not those that the run wrote.
    """
    spans = read_run_spans(run)
    return Report(
        run=run,
        gate_result=verdict,
        baseline=baseline,
        hints=suggest_commands(run, verdict, baseline, place),
        calls=compute_call_stats(attach_spans(run, spans)),
        spans=spans,
    )


def suggest_commands(
    run: Run, verdict: GateResult, baseline: Run | None, place: CommandHints
) -> tuple[Hint, ...]:
    """The exact commands a reader is likely to want next."""
    hints = []
    if not run.finished:
        # Without it the run would end with what the judge left undone, and could be resumed no more.
        lost = bool(verdict.tally.counts["judge_error"])
        hints.append(Hint(label="resume", command=place.resume(run, retry_errors=lost)))
    worst = find_worst_case(run, verdict)
    if worst:
        hints.append(Hint(label="look closer", command=place.show(run, worst)))
    if verdict.comparison is not None:
        hints.append(Hint(label="all changes", command=place.diff(run)))
    if verdict.gate is not None and verdict.exit_code == ApprovalNeeded.exit_code:
        hints.append(Hint(label="if the edits are meant", command=place.accept(run)))
    elif (
        run.finished
        and not run.header.selection
        and not verdict.tally.errors
        and not explain_failed_controls(run)
    ):
        # A baseline of many trials is not to be replaced by one of few, which sees less.
        sharper = baseline is not None and baseline.header.trials > run.header.trials
        command = place.record(run) if sharper else place.promote(run)
        hints.append(Hint(label="accept as baseline", command=command))
    return tuple(hints)


def find_worst_case(run: Run, verdict: GateResult) -> str | None:
    """The case to look at first: hit hardest, else in error, else failing."""
    for check in verdict.checks:
        if check.outcome == "fail" and check.hits and not check.advisory:
            return check.hits[0].case_id
    troubled = [trial for trial in run.trials if trial.state != "scored"]
    failed = [trial for trial in run.trials if not trial.passed]
    return next((trial.case_id for trial in (*troubled, *failed)), None)


def evaluate_execution(
    execution: Execution, against: BaselineChoice, basis: BaseGate | None, place: CommandHints
) -> Report:
    """Decide a run, however far it came.

    Raises:
        InvalidInput: a judge cannot be asked before the user has mended something.
    """
    verdict = evaluate_gate(
        execution.run,
        execution.plan.gate,
        execution.baseline,
        GatePolicy(
            max_errors=execution.plan.settings.max_errors,
            on_inconclusive=execution.plan.settings.on_inconclusive,
            on_judge_drift=execution.plan.settings.on_judge_drift,
        ),
        place,
        allow_missing=against.allow_missing,
    )
    if execution.judge_problem:
        raise InvalidInput.single(
            f"{execution.judge_problem.message} What was answered is stored; "
            f"go on with: {place.resume(execution.run, retry_errors=True)}",
            execution.judge_problem.where,
        )
    verdict = explain_early_end(verdict, execution, place)
    review = basis.build_review(execution.plan.selection) if basis else None
    if not execution.plan.selection.shard:
        verdict = apply_gate_review(verdict, review)
    baseline = basis.relocate_baseline(execution.baseline) if basis else execution.baseline
    return build_report(execution.run, verdict, baseline, place)


def explain_early_end(verdict: GateResult, execution: Execution, place: CommandHints) -> GateResult:
    """The verdict, led by what ended the run early if anything did."""
    tally = verdict.tally
    done = tally.selected - tally.counts["not_run"]
    waiting = (
        f", and {format_count(execution.unscored_answers, 'answer')} more"
        if execution.unscored_answers
        else ""
    )
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
