"""Apply a gate to a run: select its rules, evaluate them, and check which edits need approval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Literal

from evalkit.core.errors import EXIT_FAILED, EXIT_PASSED, ApprovalNeeded
from evalkit.core.eval_set import Rule
from evalkit.core.format import format_count, name_rule
from evalkit.core.gate_result import GateResult, GateReview
from evalkit.core.gate_source import Acceptance
from evalkit.core.literals import Json
from evalkit.core.run import Run
from evalkit.gate.budget import count_spending
from evalkit.gate.decide import decide_gate
from evalkit.gate.next_stage import lacks_budget_for_look
from evalkit.gate.sequential import looks_note
from evalkit.gate.traffic import find_old_weights
from evalkit.report.budget import spending_sentence
from evalkit.report.next_steps import CommandHints
from evalkit.trace.warnings import find_trace_warnings


@dataclass(frozen=True, kw_only=True, slots=True)
class GatePolicy:
    """What a run may lack and still pass. Settings explains the fields."""

    max_errors: int = 0
    on_inconclusive: Literal["pass", "fail"] = "pass"
    on_judge_drift: Literal["warn", "fail"] = "warn"
    allow_missing: bool = False

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Json], *, allow_missing: bool = False
    ) -> GatePolicy:
        """Return the policy in a run's settings."""
        return cls(
            max_errors=settings.get("max_errors", 0),
            on_inconclusive=settings.get("on_inconclusive", "pass"),
            on_judge_drift=settings.get("on_judge_drift", "warn"),
            allow_missing=allow_missing,
        )


def evaluate_gate(
    run: Run, rules: Sequence[Rule], baseline: Run | None, policy: GatePolicy, hints: CommandHints
) -> GateResult:
    """Apply the rules to a run, complete or not. Call nothing and change nothing."""
    rules, left_out = select_rules(run, rules)
    trusted = run.trust.warnings if run.trust else ()
    notes = [*run.warnings, *trusted, *(baseline.warnings if baseline else ()), *left_out]
    notes += find_trace_warnings((*run.trials, *run.fresh))
    notes += find_old_weights(rules, run.header.created)
    if baseline is None and policy.allow_missing:
        compared = [rule for rule in rules if rule.compares]
        rules = [rule for rule in rules if not rule.compares]
        if compared:
            notes.append(
                f"NO BASELINE: {format_count(len(compared), 'threshold')} that would compare with it "
                f"left out. This run may be worse than the last one."
            )
    result = decide_gate(
        rules,
        run,
        baseline,
        max_errors=policy.max_errors,
        on_inconclusive=policy.on_inconclusive,
        on_judge_drift=policy.on_judge_drift,
        baseline_problem=(
            f"there is no baseline yet. Make this run the baseline: {hints.promote(run)}; "
            f"or record 10 trials per case: {hints.record(run)}"
        ),
    )
    is_short = lacks_budget_for_look(result, run, baseline)
    looks = looks_note(run, result, baseline, lacks_budget=is_short)
    found = (looks, _describe_spending(run, baseline))
    # If the looks led to a decision, their number matters to nobody who reads the result.
    asides = {looks} if result.outcome in ("pass", "fail") else set()
    return replace(
        result,
        notes=(*filter(None, found), *notes, *result.notes),
        asides=result.asides | asides,
    )


def _describe_spending(run: Run, baseline: Run | None) -> str:
    """Return a run's budget and what was spent of it; empty without a budget."""
    if run.header.budget is None:
        return ""
    spent = count_spending(run, baseline)
    return spending_sentence(run.header.budget, spent.trials, spent.usd)


def apply_gate_review(result: GateResult, review: GateReview) -> GateResult:
    """Return the result with a review of the change's edits to its gate.

    An unapproved edit that loosens the gate replaces the result, unless the run was interrupted.
    """
    result = replace(result, gate=review, notes=(*review.notes, *result.notes))
    loosening = review.loosening
    if review.accepted or not loosening or result.exit_code > 128:
        return result
    others = len(loosening) - 1
    more = f" and {format_count(others, 'other edit')}" if others else ""
    return replace(
        result,
        outcome="undecided",
        exit_code=ApprovalNeeded.exit_code,
        reason=f"This change needs approval, because it loosens its own gate: "
        f"{loosening[0]}{more}. "
        f"Under the rules of {review.base} the result is {result.outcome.upper()}: {result.reason}",
    )


def accept_result(result: GateResult, acceptance: Acceptance | None) -> GateResult:
    """Return the result with exit code 0 if a person accepted that it fails, or loosens its gate.

    What could not be decided is not accepted.
    """
    is_loosened = result.gate is not None and bool(result.gate.loosening)
    is_failed = result.outcome == "fail" and result.exit_code == EXIT_FAILED
    if acceptance is None or not (is_failed or (is_loosened and result.exit_code == EXIT_PASSED)):
        return result
    loosens = ", which loosens its own gate" if is_loosened else ""
    commit = f"commit {acceptance.commit[:10]}{loosens}"
    return replace(
        result,
        exit_code=EXIT_PASSED,
        acceptance=acceptance,
        reason=f"Accepted by {acceptance.who} for {commit}: {result.reason}",
    )


def select_rules(run: Run, rules: Sequence[Rule]) -> tuple[Sequence[Rule], tuple[str, ...]]:
    """Return the rules that apply to a run, and a note on the others.

    No rule applies to a shard, because it has only some of the cases.
    """
    header = run.header
    if header.shard:
        return (), (f"Shard {header.shard}: `evalkit merge` decides the thresholds.",)
    if not header.selection:
        return rules, ()
    tags = {tag for case in header.cases for tag in case.tags}
    metrics = {score.metric for trial in run.trials for score in trial.scores}
    applicable = [rule for rule in rules if _applies_to(rule, tags, metrics)]
    left_out = [name_rule(rule) for rule in rules if rule not in applicable]
    if not left_out:
        return rules, ()
    return applicable, (f"Not decided, because no selected case applies: {', '.join(left_out)}.",)


def _applies_to(rule: Rule, tags: Set[str], metrics: Set[str]) -> bool:
    if rule.must_pass:
        return bool(tags & set(rule.must_pass))
    if rule.tag is not None and rule.tag not in tags:
        return False
    # Without any score, the metrics of the cases are unknown, so no metric rules a threshold out.
    return not rule.metric or not metrics or rule.metric in metrics
