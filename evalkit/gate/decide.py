"""A run, its baseline and the thresholds into one verdict and its exit code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

from evalkit.compare.pairs import compare_tables
from evalkit.compare.scores import build_score_table
from evalkit.compare.summary import summarize_table, tally_table
from evalkit.core.errors import EXIT_FAILED, EXIT_PASSED, Undecidable
from evalkit.core.eval_set import Rule
from evalkit.core.format import format_count, format_missing, name_rule
from evalkit.core.gate_result import Check, GateResult, Tally
from evalkit.core.literals import Outcome
from evalkit.core.run import Run
from evalkit.gate.inputs import GateInputs
from evalkit.gate.judge_trust import OnJudgeDrift, explain_judge_distrust, trust_notes
from evalkit.gate.thresholds import CheckWithNotes, apply_rules
from evalkit.stats.group_sequential import alpha_at_look

_RESOLVED_STATES = ("scored", "skipped")
_VERBS: dict[Outcome, str] = {
    "fail": "failed",
    "inconclusive": "are inconclusive",
    "undecided": "are undecided",
}

_SEVERITY: tuple[Outcome, ...] = ("undecided", "fail", "inconclusive", "pass")
"""From what outweighs all others to what is outweighed by all."""

OnInconclusive: TypeAlias = Literal["pass", "fail"]


def decide_gate(  # noqa: PLR0913 - the three it can be told are not worth a record of their own
    rules: Sequence[Rule],
    candidate: Run,
    baseline: Run | None,
    *,
    max_errors: int,
    on_inconclusive: OnInconclusive,
    baseline_problem: str = "",
    on_judge_drift: OnJudgeDrift = "warn",
) -> GateResult:
    """Apply every threshold and say what follows from all of them together.

    Trials without a score count against `max_errors`, never as failures of the agent; a run with more
    of them, or with trials that were never run, is undecided, whatever its thresholds say. Without
    rules a complete run passes, and the reason says that nothing was checked.

    Args:
        rules: the gate.
        candidate: the run under test.
        baseline: what it is compared with, if there is anything.
        max_errors: trials that may be without a score.
        on_inconclusive: what a threshold that is neither proven nor ruled out does to the exit code.
        baseline_problem: why there is no baseline and what to do; ends the sentence of every threshold
            that needs one.
        on_judge_drift: whether a judge that is another model than the baseline's leaves the run undecided.
    """
    table = build_score_table(candidate)
    base = build_score_table(baseline) if baseline is not None else None
    comparison = compare_tables(base, table) if base is not None else None
    sides = GateInputs(
        candidate=table, base=base, comparison=comparison, baseline_problem=baseline_problem
    )
    applied = [
        adjust_rule_for_look(rule, table.header.looks, table.header.trials) for rule in rules
    ]
    decided = recheck_without_added(applied, apply_rules(applied, sides), candidate, sides)
    checks = tuple(one.check for one in decided)
    deciding = [check for check in checks if not check.advisory]
    tally = tally_table(table)
    reason = explain_incomplete_run(tally, max_errors) or explain_judge_distrust(
        candidate, baseline, on_judge_drift
    )
    outcome: Outcome = "undecided"
    if reason:
        reason += _proven_failures_text(deciding)
    else:
        outcome = combine_outcomes(deciding)
        reason = _lead_sentence(outcome, deciding)
    return GateResult(
        outcome=outcome,
        exit_code=exit_code_of(outcome, on_inconclusive),
        reason=reason,
        tally=tally,
        checks=checks,
        summaries=summarize_table(table),
        comparison=comparison,
        notes=(
            *_policy_notes(outcome, deciding, tally, on_inconclusive),
            *(
                f"ADVISORY: {info.name}: {info.advisory}."
                for info in table.infos.values()
                if info.advisory
            ),
            *trust_notes(candidate, baseline),
            *(comparison.notes if comparison is not None else ()),
            *(note for one in decided for note in one.notes),
        ),
    )


def recheck_without_added(
    rules: Sequence[Rule], decided: Sequence[CheckWithNotes], candidate: Run, sides: GateInputs
) -> list[CheckWithNotes]:
    """Decide absolute limits over the cases that the gate's definition has as well; the worse counts.

    New cases cannot outweigh failing ones then, and they are held to the limits all the same, as they
    will be once they are part of the gate.
    """
    header = candidate.header
    added = set(header.added)
    cases = tuple(case for case in header.cases if case.id not in added)
    if not added or not cases:
        return list(decided)
    known = replace(header, cases=cases)
    trials = tuple(trial for trial in candidate.trials if trial.case_id not in added)
    table = build_score_table(replace(candidate, header=known, trials=trials))
    alone = apply_rules(rules, replace(sides, candidate=table))
    return [
        _worse_decision(whole, part, len(added)) if not rule.compares else whole
        for rule, whole, part in zip(rules, decided, alone, strict=True)
    ]


def _worse_decision(whole: CheckWithNotes, part: CheckWithNotes, added: int) -> CheckWithNotes:
    if _SEVERITY.index(part.check.outcome) < _SEVERITY.index(whole.check.outcome):
        return part._replace(
            notes=(*part.notes, f"{_check_name(part)} holds only with added cases.")
        )
    if _SEVERITY.index(whole.check.outcome) < _SEVERITY.index(part.check.outcome):
        note = f"{_check_name(whole)} holds without the {format_count(added, 'added case')}."
        return whole._replace(notes=(*whole.notes, note))
    return part


def _check_name(decided: CheckWithNotes) -> str:
    return f"Threshold {name_rule(decided.check.rule)}"


def adjust_rule_for_look(rule: Rule, looks: int, look: int) -> Rule:
    """A rule as it is applied at one look of a run that may take several; as it is when `looks` is 0.

    Absolute limits keep their alpha: their intervals are those of other cases like these, to which a
    further trial of the same cases adds little chance to err.
    """
    compares = rule.max_drop is not None or rule.max_rise is not None
    if not looks or not compares:
        return rule
    return replace(rule, alpha=alpha_at_look(rule.alpha, look))


def explain_incomplete_run(tally: Tally, max_errors: int) -> str:
    """Why a run is not complete enough to be judged at all; empty when it is."""
    if tally.counts["not_run"] or tally.errors > max_errors:
        missing: dict[str, int] = {
            state: count for state, count in tally.counts.items() if state not in _RESOLVED_STATES
        }
        budget = f"; max_errors allows {max_errors}" if tally.errors > max_errors else ""
        return (
            f"Not decided: {tally.errors:,} of {format_count(tally.selected, 'trial')} have no score "
            f"({format_missing(missing)}){budget}."
        )
    if not tally.counts["scored"]:
        return "Not decided: not one trial was scored."
    return ""


def combine_outcomes(checks: Sequence[Check]) -> Outcome:
    """The outcome of all checks together: what could not be applied outweighs what failed."""
    outcomes = {check.outcome for check in checks}
    return next((outcome for outcome in _SEVERITY if outcome in outcomes), "pass")


def exit_code_of(outcome: Outcome, on_inconclusive: OnInconclusive) -> int:
    """The exit code of an outcome under the set's policy."""
    if outcome == "fail":
        return EXIT_FAILED
    if outcome == "pass" or (outcome == "inconclusive" and on_inconclusive == "pass"):
        return EXIT_PASSED
    return Undecidable.exit_code


def _lead_sentence(outcome: Outcome, checks: Sequence[Check]) -> str:
    """The sentence that leads the report: the first check that made the outcome, and how many did."""
    if not checks:
        return "Complete, but no threshold was checked."
    telling = [check for check in checks if check.outcome == outcome]
    if outcome == "pass":
        held = "The threshold holds" if len(telling) == 1 else f"All {len(telling)} thresholds hold"
        return f"{held}."
    more = f" {len(telling)} of {len(checks)} thresholds {_VERBS[outcome]}." if telling[1:] else ""
    anyway = _proven_failures_text(checks) if outcome == "undecided" else ""
    return f"{telling[0].sentence}{more}{anyway}"


def _proven_failures_text(checks: Sequence[Check]) -> str:
    failed = sum(check.outcome == "fail" for check in checks)
    if not failed:
        return ""
    return f" {format_count(failed, 'threshold')} failed on what was scored."


def _policy_notes(
    outcome: Outcome, checks: Sequence[Check], tally: Tally, on_inconclusive: OnInconclusive
) -> Iterable[str]:
    """What lets a run through that is not a plain pass."""
    if outcome == "inconclusive" and on_inconclusive == "pass":
        unproven = sum(check.outcome == "inconclusive" for check in checks)
        yield (
            f"INCONCLUSIVE: {format_count(unproven, 'threshold')} neither failed nor proven to hold; "
            f"on_inconclusive is 'pass', so this does not fail the run."
        )
    if tally.errors and outcome != "undecided":
        yield (
            f"{tally.errors} of {format_count(tally.selected, 'trial')} have no score, no more than "
            f"max_errors allows; they are left out of every number."
        )
