"""Apply the thresholds to a run and its baseline for one gate result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from evalkit.compare.pairs import compare_tables, pair_scores
from evalkit.compare.scores import ScoreTable, build_score_table, mean, sum_missing
from evalkit.compare.summary import summarize_table, tally_table
from evalkit.core.errors import NotComparable, Undecidable
from evalkit.core.eval_set import Rule
from evalkit.core.format import name_rule
from evalkit.core.gate_result import Check, GateResult
from evalkit.core.literals import Outcome
from evalkit.core.run import Run
from evalkit.gate.broken_cases import check_broken_cases
from evalkit.gate.case_rules import check_must_pass, check_regressed
from evalkit.gate.changes import check_change, check_points
from evalkit.gate.checked_rule import CheckWithNotes
from evalkit.gate.evidence import MIN_LATENCY_CHANGE_S, Evidence
from evalkit.gate.inputs import GateInputs, explain_unknown_name, find_rule_scores
from evalkit.gate.judge_trust import (
    OnJudgeDrift,
    explain_judge_distrust,
    explain_untrusted,
    find_untrusted_metrics,
    mask_metrics,
    trust_notes,
    withhold_check,
    withhold_unchecked,
)
from evalkit.gate.limits import check_limit
from evalkit.gate.outcome import (
    OnInconclusive,
    combine_outcomes,
    cut_off_notes,
    exit_code_of,
    explain_incomplete_run,
    lead_sentence,
    pick_worse_check,
    policy_notes,
    proven_failures_text,
)
from evalkit.gate.paired import compare_points, measure_change
from evalkit.gate.preferences import measure_preference
from evalkit.gate.reruns import attach_reruns
from evalkit.gate.sequential import adjust_rule_for_look, apply_procedure_odds
from evalkit.gate.silence import decide_despite_silence, find_silence
from evalkit.stats.multiplicity import holm_levels


def decide_gate(  # noqa: PLR0913 - three policies with defaults are not worth a record
    rules: Sequence[Rule],
    candidate: Run,
    baseline: Run | None,
    *,
    max_errors: int,
    on_inconclusive: OnInconclusive,
    baseline_problem: str = "",
    on_judge_drift: OnJudgeDrift = "warn",
) -> GateResult:
    """Apply every threshold and combine the checks into one result.

    Trials without a score are errors, never failures of the agent. A run with more than `max_errors`
    of them, or with trials that were not run, is undecided. Without rules a complete run passes.

    Args:
        rules: the thresholds of the gate.
        candidate: the run under test.
        baseline: the run it is compared with, if there is one.
        max_errors: how many trials may have no score.
        on_inconclusive: whether an inconclusive threshold fails the run.
        baseline_problem: why there is no baseline and what to do, for thresholds that need one.
        on_judge_drift: whether a judge model that differs from the baseline's leaves the run undecided.
    """
    table = build_score_table(candidate)
    base = build_score_table(baseline) if baseline is not None else None
    comparison = compare_tables(base, table) if base is not None else None
    inputs = GateInputs(
        candidate=table, base=base, comparison=comparison, baseline_problem=baseline_problem
    )
    # Thresholds are decided even if the run is incomplete, because reports show their sentences.
    decided = _decide_rules(rules, candidate, inputs, baseline)
    checks = tuple(withhold_unchecked(each.check, candidate) for each in decided)
    enforced = [check for check in checks if not check.advisory]
    tally = tally_table(table)
    outcome: Outcome = "undecided"
    if problem := (
        _explain_doubt(candidate, baseline, explain_incomplete_run(candidate, tally, max_errors))
        or explain_judge_distrust(candidate, baseline, on_judge_drift)
    ):
        reason = problem + proven_failures_text(enforced)
    else:
        outcome = combine_outcomes(enforced)
        reason = lead_sentence(outcome, checks)
    return GateResult(
        outcome=outcome,
        exit_code=exit_code_of(outcome, on_inconclusive),
        reason=reason,
        tally=tally,
        checks=checks,
        summaries=summarize_table(table),
        comparison=comparison,
        notes=(
            *policy_notes(outcome, enforced, tally, on_inconclusive),
            *_run_notes(inputs, candidate, baseline),
            # Two thresholds on one metric can have the same note.
            *dict.fromkeys(note for each in decided for note in each.notes),
        ),
        asides=frozenset(aside for each in decided for aside in each.asides),
    )


def _explain_doubt(candidate: Run, baseline: Run | None, incomplete: str) -> str:
    """Return why a run cannot be decided; a judge that is not trusted comes before missing scores."""
    distrust = explain_untrusted(candidate, baseline)
    return f"{distrust[:1].upper()}{distrust[1:]} {incomplete}".strip()


def _decide_rules(
    rules: Sequence[Rule], candidate: Run, inputs: GateInputs, baseline: Run | None
) -> list[CheckWithNotes]:
    """Apply all thresholds; those that rest on a judge that is not trusted are undecided."""

    def apply(run: Run) -> list[CheckWithNotes]:
        return _apply_rules_at_look(
            rules, run, inputs if run is candidate else inputs.with_candidate(run)
        )

    silences = find_silence(candidate, baseline)
    decided = decide_despite_silence(candidate, silences, apply)
    untrusted = find_untrusted_metrics(candidate, baseline)
    if not untrusted:
        return decided
    # What still fails without these metrics fails whatever their judge said.
    masked = decide_despite_silence(mask_metrics(candidate, untrusted), silences, apply)
    return [
        each._replace(check=withhold_check(each.check, part.check, untrusted))
        for each, part in zip(decided, masked, strict=True)
    ]


def _run_notes(inputs: GateInputs, candidate: Run, baseline: Run | None) -> Iterator[str]:
    """Yield notes on the answers, on advisory metrics, on the judges, and on the comparison."""
    yield from cut_off_notes(candidate)
    for info in inputs.candidate.infos.values():
        if info.advisory:
            yield f"ADVISORY: {info.name}: {info.advisory}."
    yield from trust_notes(candidate, baseline)
    if inputs.comparison is not None:
        yield from inputs.comparison.notes


def _apply_rules_at_look(
    rules: Sequence[Rule], candidate: Run, inputs: GateInputs
) -> list[CheckWithNotes]:
    """Apply all thresholds, absolute limits both with and without added cases; the worse check counts.

    So added cases cannot hide failures of other cases, and must meet the limits themselves.
    """
    header = candidate.header
    rules = [adjust_rule_for_look(rule, header.looks, header.trials) for rule in rules]
    decided = apply_rules(rules, inputs)
    added = set(header.added)
    cases = tuple(case for case in header.cases if case.id not in added)
    if not added or not cases:
        return decided
    known = replace(
        candidate,
        header=replace(header, cases=cases),
        trials=tuple(trial for trial in candidate.trials if trial.case_id not in added),
    )
    without_added = apply_rules(rules, replace(inputs, candidate=build_score_table(known)))
    return [
        whole if rule.compares else pick_worse_check(whole, part, len(added))
        for rule, whole, part in zip(rules, decided, without_added, strict=True)
    ]


class _PendingCheck(NamedTuple):
    """A threshold with its evidence. Its level depends on the p-values of other thresholds."""

    rule: Rule
    evidence: Evidence
    missing: Mapping[str, int]


def apply_rules(rules: Sequence[Rule], inputs: GateInputs) -> list[CheckWithNotes]:
    """Decide all thresholds; one that cannot be applied is undecided, never passed.

    The primary threshold has its full alpha. The others that use a test share theirs (Holm 1979): if
    nothing changed, the chance that any of them fails is at most the largest of their alphas. Thresholds
    on advisory metrics do not affect the result and have no share.
    """
    infos = inputs.candidate.infos
    advisory = [infos[rule.metric].advisory if rule.metric in infos else "" for rule in rules]
    sharing = [
        index
        for index, rule in enumerate(rules)
        if rule.is_tested and not rule.primary and not advisory[index]
    ]
    found = [
        _start_check(rule, inputs, len(sharing) if index in sharing else 1)
        for index, rule in enumerate(rules)
    ]
    # A threshold that cannot be applied proves nothing, so its p-value is 1.
    p_values = [
        each.evidence.p_value if isinstance(each := found[index], _PendingCheck) else 1.0
        for index in sharing
    ]
    alphas = [rules[index].alpha for index in sharing]
    levels = dict(zip(sharing, holm_levels(p_values, alphas), strict=True))
    decided = [
        _finish_check(each, inputs.candidate, levels.get(index, each.rule.alpha))
        if isinstance(each, _PendingCheck)
        else each
        for index, each in enumerate(found)
    ]
    return [
        each._replace(check=replace(each.check, advisory=why))
        for each, why in zip(decided, advisory, strict=True)
    ]


def _start_check(rule: Rule, inputs: GateInputs, sharing: int) -> CheckWithNotes | _PendingCheck:
    candidate = inputs.candidate
    try:
        if rule.tag is not None and rule.tag not in candidate.tags:
            raise Undecidable(explain_unknown_name("case has the tag", rule.tag, candidate.tags))
        if rule.must_pass is not None:
            return CheckWithNotes(check_must_pass(rule, candidate))
        if rule.max_regressed is not None:
            return CheckWithNotes(check_regressed(rule, inputs))
        if rule.broken_cases is not None:
            return CheckWithNotes(check_broken_cases(rule, inputs))
        if rule.metric not in candidate.infos:
            what = "metric of this run is named"
            raise Undecidable(explain_unknown_name(what, rule.metric, candidate.infos))
        if rule.compares:
            return _start_change_check(rule, inputs, sharing)
        return CheckWithNotes(check_limit(rule, candidate))
    except Undecidable as error:
        why = str(error)
        # Some reasons end with a question, such as a suggested name.
        stop = "" if why.endswith((".", "?")) else "."
        sentence = f"UNDECIDED {name_rule(rule)}: {why}{stop}"
        return CheckWithNotes(Check(rule=rule, outcome="undecided", sentence=sentence))


def _start_change_check(
    rule: Rule, inputs: GateInputs, sharing: int
) -> CheckWithNotes | _PendingCheck:
    base, _ = inputs.require_base()
    missing = sum_missing(find_rule_scores(rule, inputs.candidate))
    if inputs.candidate.infos[rule.metric].is_pairwise:
        return _PendingCheck(rule, measure_preference(rule, inputs, rule.alpha / sharing), missing)
    try:
        pairs = pair_scores(
            base, inputs.candidate, rule.metric, tag=rule.tag, flags=rule.stat == "rate"
        )
    except NotComparable as why:
        raise inputs.undecidable(str(why)) from why
    if rule.and_at_least is not None and not pairs.info.unit:
        raise Undecidable(
            "and_at_least is for metrics with a unit. The limits of this metric are points already. "
            "Remove it"
        )
    # A change of a few milliseconds is noise, even if it is a large percentage.
    if pairs.info.unit == "s" and rule.and_at_least is None:
        rule = replace(rule, and_at_least=MIN_LATENCY_CHANGE_S)
    if rule.test == "point":
        return CheckWithNotes(check_points(rule, compare_points(rule, pairs), missing))
    pairs = attach_reruns(pairs, rule, base, inputs.candidate)
    # The detectable change is reported for the strictest level, which does not depend on the results.
    evidence = measure_change(rule, pairs, level=rule.alpha / sharing)
    evidence = apply_procedure_odds(rule, evidence, inputs.candidate.header, sharing)
    return _PendingCheck(rule, evidence, missing)


def _finish_check(pending: _PendingCheck, candidate: ScoreTable, level: float) -> CheckWithNotes:
    rule, evidence, missing = pending
    evidence = replace(evidence, limits=replace(evidence.limits, alpha=level))
    trials = [trial for row in candidate.trials.values() for trial in row if trial]
    costs = [trial.output.cost_usd for trial in trials if trial.output.cost_usd is not None]
    return check_change(rule, evidence, missing, mean(costs) if costs else None)
