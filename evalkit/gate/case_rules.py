"""Thresholds that count cases, `max_regressed` and `must_pass`, into checks that name every one."""

from __future__ import annotations

from evalkit.compare.pairs import find_redefined_metrics
from evalkit.compare.scores import ScoreTable
from evalkit.core.errors import Undecidable
from evalkit.core.eval_set import Case, Rule
from evalkit.core.gate_result import CaseChange, CaseContribution, Check
from evalkit.core.literals import Outcome
from evalkit.core.trial import Trial
from evalkit.gate.inputs import GateInputs, explain_unknown_name
from evalkit.gate.sentences import must_pass_sentence, regressed_sentence


def _require_changes(rule: Rule, sides: GateInputs) -> list[CaseChange]:
    """The cases that both runs share; Undecidable when their passes mean different things."""
    base, comparison = sides.require_base()
    remedy = f"Record today's baseline: {sides.record_command}"
    if redefined := find_redefined_metrics(base, sides.candidate):
        raise Undecidable(
            f"{', '.join(redefined)} measured in another way in the baseline. {remedy}"
        )
    cases = sides.candidate.cases
    changes = [
        change
        for change in comparison.cases
        if change.status not in ("added", "removed", "edited")
        and (rule.tag is None or rule.tag in cases[change.case_id].tags)
    ]
    if not changes:
        raise Undecidable(f"no case is the same in this run and in the baseline. {remedy}")
    return changes


def check_regressed(rule: Rule, sides: GateInputs) -> Check:
    """Count the cases that passed in the baseline and do not now.

    A case that passed and of which no trial is complete now may have regressed: the rule is undecided
    where such cases could tip it.

    Raises:
        Undecidable: there is no baseline, or nothing in it to compare with.
    """
    changes = _require_changes(rule, sides)
    hits = tuple(
        CaseContribution(
            case_id=change.case_id,
            base=change.base_passed,
            base_trials=change.base_trials,
            candidate=change.passed,
            trials=change.trials,
        )
        for change in changes
        if change.status == "regressed"
    )
    unknown = sum(
        not change.trials and 2 * change.base_passed > change.base_trials for change in changes
    )
    allowed = rule.max_regressed or 0
    outcome: Outcome = "pass"
    if len(hits) > allowed:
        outcome = "fail"
    elif len(hits) + unknown > allowed:
        outcome = "undecided"
    return Check(
        rule=rule,
        outcome=outcome,
        sentence=regressed_sentence(rule, outcome, hits, unknown),
        candidate=len(hits),
        cases=len(changes),
        hits=hits,
    )


def _has_failed(trial: Trial) -> bool:
    return trial.output.error is None and any(score.failed for score in trial.scores)


def _find_failure(case: Case, table: ScoreTable) -> CaseContribution | None:
    """The passes of a case, when one of its trials failed; None when none did.

    A trial that failed one metric has failed, whatever became of its other scores.
    """
    row = zip(table.trials[case.id], table.states[case.id], strict=True)
    told = [trial for trial, state in row if trial and (state == "scored" or _has_failed(trial))]
    failed = sum(map(_has_failed, told))
    if not failed:
        return None
    return CaseContribution(
        case_id=case.id, base=0, base_trials=0, candidate=len(told) - failed, trials=len(told)
    )


def check_must_pass(rule: Rule, table: ScoreTable) -> Check:
    """Look for a failed trial in the cases with one of the tags; in all cases, when none are named.

    A case of which no trial is complete is not known to pass, and leaves the rule undecided.

    Raises:
        Undecidable: no case has one of the tags.
    """
    wanted = rule.must_pass or ()
    for tag in wanted:
        if tag not in table.tags:
            raise Undecidable(explain_unknown_name("case has the tag", tag, table.tags))
    cases = [case for case in table.header.cases if not wanted or set(wanted) & set(case.tags)]
    hits = tuple(hit for case in cases if (hit := _find_failure(case, table)) is not None)
    failing = {hit.case_id for hit in hits}
    unknown = sum(
        case.id not in failing and "scored" not in table.states[case.id] for case in cases
    )
    outcome: Outcome = "fail" if hits else "undecided" if unknown else "pass"
    return Check(
        rule=rule,
        outcome=outcome,
        sentence=must_pass_sentence(rule, outcome, len(cases), hits, unknown),
        candidate=len(cases) - len(hits) - unknown,
        cases=len(cases),
        hits=hits,
    )
