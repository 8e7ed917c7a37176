"""Decide the thresholds that count cases: `max_regressed` and `must_pass`."""

from __future__ import annotations

from evalkit.compare.scores import ScoreTable
from evalkit.core.errors import Undecidable
from evalkit.core.eval_set import Case, Rule
from evalkit.core.format import format_count, name_rule
from evalkit.core.gate_result import CaseChange, CaseContribution, Check
from evalkit.gate.inputs import GateInputs, count_outcome, explain_unknown_name
from evalkit.gate.phrases import list_hits


def check_regressed(rule: Rule, inputs: GateInputs) -> Check:
    """Decide a `max_regressed` rule by the number of cases that passed in the baseline and fail now.

    A case of which one metric does counts as well, and so does a flaky case: the rule makes no test. A
    case that passed and has no complete trial now may have regressed. The rule is undecided if such cases
    could change the outcome.

    Raises:
        Undecidable: there is no baseline, or it has no case to compare.
    """
    changes = _shared_changes(rule, inputs)
    hits = tuple(_to_contribution(change) for change in changes if change.newly_failing)
    unknown = sum(
        not change.trials and 2 * change.base_passed > change.base_trials for change in changes
    )
    allowed = rule.max_regressed or 0
    outcome = count_outcome(len(hits), unknown, allowed)
    sentence = (
        f"{outcome.upper()} {name_rule(rule)}: {len(hits)} passed in the baseline and "
        f"{'fails' if len(hits) == 1 else 'fail'} now, at most {allowed} allowed{list_hits(hits)}."
    )
    if not any(2 * change.base_passed > change.base_trials for change in changes):
        sentence += " No case passed in the baseline, so none could regress."
    if unknown:
        passed = f"{format_count(unknown, 'case')} that passed in the baseline"
        sentence += f" {passed} {'has' if unknown == 1 else 'have'} no complete trial now."
    return Check(
        rule=rule,
        outcome=outcome,
        sentence=sentence,
        candidate=len(hits),
        cases=len(changes),
        hits=hits,
    )


def check_must_pass(rule: Rule, table: ScoreTable) -> Check:
    """Decide a `must_pass` rule: no trial of a case with one of the tags may fail.

    Without tags the rule is about all cases. A case without a complete trial may fail, so it leaves the
    rule undecided.

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
    outcome = count_outcome(len(hits), unknown, 0)
    count = format_count(len(cases), "case")
    finding = f"{len(hits)} of {count} failed" if hits else f"no trial of {count} failed"
    sentence = f"{outcome.upper()} {name_rule(rule)}: {finding}{list_hits(hits)}."
    if unknown:
        sentence += f" {format_count(unknown, 'case')} without a complete trial."
    return Check(
        rule=rule,
        outcome=outcome,
        sentence=sentence,
        candidate=len(cases) - len(hits) - unknown,
        cases=len(cases),
        hits=hits,
    )


def _shared_changes(rule: Rule, inputs: GateInputs) -> list[CaseChange]:
    _, comparison = inputs.require_comparable_cases()
    cases = inputs.candidate.cases
    changes = [
        change
        for change in comparison.cases
        if change.origin == "shared"
        and (rule.tag is None or rule.tag in cases[change.case_id].tags)
    ]
    if not changes:
        raise inputs.undecidable("no case is the same in this run and in the baseline")
    return changes


def _to_contribution(change: CaseChange) -> CaseContribution:
    """Return the passes of a newly failing case, or of the metric that newly fails."""
    counts = change.on_metric or change
    return CaseContribution(
        case_id=change.case_id,
        base=counts.base_passed,
        base_trials=counts.base_trials,
        candidate=counts.passed,
        trials=counts.trials,
        metric=change.on_metric.metric if change.on_metric else "",
        flaky=change.flaky,
    )


def _find_failure(case: Case, table: ScoreTable) -> CaseContribution | None:
    """Return the passes of a case with a failed trial; None if no trial failed.

    A trial that fails one metric has failed, even if its other scores are missing.
    """
    trials = [trial for trial in table.trials[case.id] if trial is not None]
    known = [trial for trial in trials if trial.state == "scored" or trial.fails()]
    failed = sum(trial.fails() for trial in known)
    if not failed:
        return None
    return CaseContribution(
        case_id=case.id, base=0, base_trials=0, candidate=len(known) - failed, trials=len(known)
    )
