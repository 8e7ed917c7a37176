"""Combine checks into the outcome of the gate, its exit code, and the first sentence of the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

from evalkit.core.errors import EXIT_FAILED, EXIT_PASSED, Undecidable
from evalkit.core.format import format_count, format_missing, name_rule
from evalkit.core.gate_result import Check, Tally
from evalkit.core.literals import Outcome
from evalkit.core.run import Run
from evalkit.core.spans import CUT_OFF
from evalkit.gate.checked_rule import CheckWithNotes

OnInconclusive: TypeAlias = Literal["pass", "fail"]

SEVERITY: tuple[Outcome, ...] = ("undecided", "fail", "inconclusive", "pass")
"""The outcomes, most severe first. The most severe outcome of all checks is that of the gate."""

MAX_NAMED_CASES = 5

_RESOLVED_STATES = ("scored", "skipped")
_VERBS: dict[Outcome, str] = {
    "fail": "failed",
    "inconclusive": "are inconclusive",
    "undecided": "are undecided",
}


def explain_incomplete_run(run: Run, tally: Tally, max_errors: int) -> str:
    """Return why a run is too incomplete to decide; empty if it is complete enough.

    Trials have no score, or labels are drafts, so that nothing compares their answers.
    """
    # max_errors limits errors only, so a trial that was not run always makes a run incomplete.
    if tally.counts["not_run"] or tally.errors > max_errors:
        missing: dict[str, int] = {
            state: count for state, count in tally.counts.items() if state not in _RESOLVED_STATES
        }
        # No budget covers a trial that was not run.
        errors = tally.errors - tally.counts["not_run"]
        budget = f"; max_errors allows {max_errors}" if errors > max_errors else ""
        return (
            f"Not decided: {_count_unscored(tally)} no score ({format_missing(missing)}){budget}."
        )
    return _explain_drafts(run) if tally.counts["scored"] else "Not decided: no trial was scored."


def _explain_drafts(run: Run) -> str:
    drafts = [case.id for case in run.header.cases if case.draft is not None]
    if not drafts:
        return ""
    more = ", ..." if len(drafts) > MAX_NAMED_CASES else ""
    verb = "has" if len(drafts) == 1 else "have"
    return (
        f"Not decided: {len(drafts):,} of {format_count(len(run.header.cases), 'case')} {verb} a draft that "
        f"nobody has confirmed ({', '.join(drafts[:MAX_NAMED_CASES])}{more}). Read each. If it is right, "
        "rename `draft` to `expected`; otherwise correct it first, or delete it."
    )


def _count_unscored(tally: Tally) -> str:
    verb = "has" if tally.errors == 1 else "have"
    return f"{tally.errors:,} of {format_count(tally.selected, 'trial')} {verb}"


def combine_outcomes(checks: Sequence[Check]) -> Outcome:
    """Return the most severe outcome of all checks."""
    outcomes = {check.outcome for check in checks}
    return next((outcome for outcome in SEVERITY if outcome in outcomes), "pass")


def pick_worse_check(whole: CheckWithNotes, part: CheckWithNotes, added: int) -> CheckWithNotes:
    """Return the worse of two checks of a limit: on the whole run, and without its added cases."""
    severity_of_whole, severity_of_part = (
        SEVERITY.index(each.check.outcome) for each in (whole, part)
    )
    threshold = f"Threshold {name_rule(whole.check.rule)} holds"
    if severity_of_part < severity_of_whole:
        return part._replace(notes=(*part.notes, f"{threshold} only with added cases."))
    if severity_of_whole < severity_of_part:
        note = f"{threshold} without the {format_count(added, 'added case')}."
        return whole._replace(notes=(*whole.notes, note))
    return part


def exit_code_of(outcome: Outcome, on_inconclusive: OnInconclusive) -> int:
    """Return the exit code of an outcome, with the set's `on_inconclusive` policy."""
    if outcome == "fail":
        return EXIT_FAILED
    if outcome == "pass" or (outcome == "inconclusive" and on_inconclusive == "pass"):
        return EXIT_PASSED
    return Undecidable.exit_code


def lead_sentence(outcome: Outcome, checks: Sequence[Check]) -> str:
    """Return the sentence of the first check with the outcome, and how many checks have it.

    Advisory checks do not count.
    """
    if not checks:
        return "Complete, but no threshold was checked."
    checks = [check for check in checks if not check.advisory]
    if not checks:
        return "Complete, but every threshold is advisory, so none decides."
    decisive = [check for check in checks if check.outcome == outcome]
    count = len(decisive)
    if outcome == "pass":
        many = "Both" if count == 2 else f"All {count}"
        return "The threshold holds." if count == 1 else f"{many} thresholds hold."
    more = f" {count} of {len(checks)} thresholds {_VERBS[outcome]}." if count > 1 else ""
    failures = proven_failures_text(checks) if outcome == "undecided" else ""
    plan = f" {decisive[0].to_decide}" if decisive[0].to_decide else ""
    return f"{decisive[0].sentence}{plan}{more}{failures}"


def proven_failures_text(checks: Sequence[Check]) -> str:
    """Return how many thresholds failed although the gate is undecided."""
    failed = sum(check.outcome == "fail" for check in checks)
    return f" {format_count(failed, 'threshold')} failed on what was scored." if failed else ""


def policy_notes(
    outcome: Outcome, checks: Sequence[Check], tally: Tally, on_inconclusive: OnInconclusive
) -> Iterator[str]:
    """Yield the settings that let a run pass in spite of an inconclusive threshold or of errors."""
    if outcome == "inconclusive" and on_inconclusive == "pass":
        unproven = sum(check.outcome == "inconclusive" for check in checks)
        yield (
            f"INCONCLUSIVE: {format_count(unproven, 'threshold')} neither failed nor passed; "
            f"on_inconclusive is 'pass', so this does not fail the run."
        )
    if tally.errors and outcome != "undecided":
        yield (
            f"{_count_unscored(tally)} no score, no more than "
            f"max_errors allows; {'it is' if tally.errors == 1 else 'they are'} left out of every number."
        )


def cut_off_notes(run: Run) -> Iterator[str]:
    """Yield how many answers end at a limit of tokens, and of which cases."""
    cut_off = [trial for trial in (*run.trials, *run.fresh) if CUT_OFF in trial.output.flags]
    if not cut_off:
        return
    cases = list(dict.fromkeys(trial.case_id for trial in cut_off))
    more = f" and {len(cases) - MAX_NAMED_CASES:,} more" if len(cases) > MAX_NAMED_CASES else ""
    verb = "was" if len(cut_off) == 1 else "were"
    yield (
        f"{format_count(len(cut_off), 'answer')} {verb} cut off at the token limit "
        f"({', '.join(cases[:MAX_NAMED_CASES])}{more}). Raise the agent's limit if that is not intended."
    )
