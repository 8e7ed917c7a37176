"""One threshold and the runs it is applied to into one check: an outcome, its sentence, its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import NamedTuple

from evalkit.compare.estimates import estimate_metric
from evalkit.compare.pairs import PairedScores, pair_scores
from evalkit.compare.scores import CaseScores, ScoreTable, mean
from evalkit.compare.summary import sum_missing
from evalkit.core.errors import NotComparable, Undecidable
from evalkit.core.eval_set import Rule
from evalkit.core.format import format_missing
from evalkit.core.gate_result import Check, PopulationTest
from evalkit.gate.absolute import decide_absolute
from evalkit.gate.broken_cases import check_broken_cases
from evalkit.gate.case_rules import check_must_pass, check_regressed
from evalkit.gate.evidence import Evidence, decide_paired
from evalkit.gate.inputs import GateInputs, explain_unknown_name
from evalkit.gate.paired import compare_points, measure_change
from evalkit.gate.sentences import (
    change_sentence,
    detectable_harm_text,
    direction_warning,
    limit_plan_text,
    limit_sentence,
    plan_text,
    point_sentence,
    population_text,
    trials_per_case,
    undecided_sentence,
)
from evalkit.stats.multiplicity import holm_levels

MIN_LATENCY_CHANGE_S = 0.01
"""What a latency must change by to count, unless the rule says: less is the scheduler's doing, and the
first call of a process, which is cold, is slower by as much."""


class CheckWithNotes(NamedTuple):
    """A check, and what is to be known about it beside its sentence."""

    check: Check
    notes: tuple[str, ...] = ()


class PendingCheck(NamedTuple):
    """A threshold whose evidence is known, and which waits for that of the others."""

    rule: Rule
    evidence: Evidence
    missing: Mapping[str, int]


def apply_rules(rules: Sequence[Rule], sides: GateInputs) -> list[CheckWithNotes]:
    """Decide all thresholds; what one cannot be applied to leaves it undecided, never passed.

    The primary one keeps its alpha. The others that compare by a test share theirs (Holm 1979): when
    nothing changed, the chance that any of them fails is at most the largest of their alphas. Those of
    an advisory metric decide nothing, and take no share.
    """
    advisory = {
        index: why for index, rule in enumerate(rules) if (why := _explain_advisory(rule, sides))
    }
    sharing = [
        index
        for index, rule in enumerate(rules)
        if rule.is_tested and not rule.primary and index not in advisory
    ]
    found = [
        _start_check(rule, sides, len(sharing) if index in sharing else 1)
        for index, rule in enumerate(rules)
    ]
    # One that cannot be applied proves nothing, whatever the level.
    p_values = [
        one.evidence.p_value if isinstance(one := found[index], PendingCheck) else 1.0
        for index in sharing
    ]
    alphas = [rules[index].alpha for index in sharing]
    levels = dict(zip(sharing, holm_levels(p_values, alphas), strict=True))
    decided = [
        _finish_check(one, sides, levels.get(index, one.rule.alpha))
        if isinstance(one, PendingCheck)
        else one
        for index, one in enumerate(found)
    ]
    return [
        one._replace(check=replace(one.check, advisory=advisory.get(index, "")))
        for index, one in enumerate(decided)
    ]


def _explain_advisory(rule: Rule, sides: GateInputs) -> str:
    info = sides.candidate.infos.get(rule.metric)
    return info.advisory if info is not None else ""


def _start_check(rule: Rule, sides: GateInputs, sharing: int) -> CheckWithNotes | PendingCheck:
    try:
        if rule.tag is not None and rule.tag not in sides.candidate.tags:
            raise Undecidable(
                explain_unknown_name("case has the tag", rule.tag, sides.candidate.tags)
            )
        if rule.must_pass is not None:
            return CheckWithNotes(check_must_pass(rule, sides.candidate))
        if rule.max_regressed is not None:
            return CheckWithNotes(check_regressed(rule, sides))
        if rule.broken_cases is not None:
            return CheckWithNotes(check_broken_cases(rule, sides))
        infos = sides.candidate.infos
        if rule.metric not in infos:
            raise Undecidable(
                explain_unknown_name("metric of this run is named", rule.metric, infos)
            )
        if rule.compares:
            return _start_change_check(rule, sides, sharing)
        return CheckWithNotes(_check_limit(rule, sides.candidate))
    except Undecidable as why:
        return CheckWithNotes(
            Check(rule=rule, outcome="undecided", sentence=undecided_sentence(rule, str(why)))
        )


def _finite_or_none(bound: float) -> float | None:
    return bound if isfinite(bound) else None


def _scores_of(rule: Rule, table: ScoreTable) -> list[CaseScores]:
    """The metric's scores on the cases a rule is about; Undecidable when there is nothing to read."""
    cases = table.cases
    scores = [
        scored
        for case_id, scored in table.scores[rule.metric].items()
        if rule.tag is None or rule.tag in cases[case_id].tags
    ]
    if not scores:
        raise Undecidable("it scores none of these cases")
    if not any(case.values for case in scores):
        raise Undecidable(
            f"not one trial has a value of it ({format_missing(sum_missing(scores))})"
        )
    if rule.stat == "rate" and not any(case.flags for case in scores):
        raise Undecidable("it is a measurement that neither passes nor fails, so it has no rate")
    return scores


def _start_change_check(
    rule: Rule, sides: GateInputs, sharing: int
) -> CheckWithNotes | PendingCheck:
    base, _ = sides.require_base()
    missing = sum_missing(_scores_of(rule, sides.candidate))
    try:
        pairs = pair_scores(
            base, sides.candidate, rule.metric, tag=rule.tag, flags=rule.stat == "rate"
        )
    except NotComparable as why:
        raise Undecidable(f"{why}. Record today's baseline: {sides.record_command}") from why
    if rule.and_at_least is not None and not pairs.info.unit:
        raise Undecidable(
            "and_at_least is for metrics with a unit, and the limits of a share are points already. "
            "Remove it"
        )
    if pairs.info.unit == "s" and rule.and_at_least is None:
        rule = replace(rule, and_at_least=MIN_LATENCY_CHANGE_S)
    if rule.test == "point":
        return CheckWithNotes(_check_point_change(rule, pairs, missing))
    # What could have been seen is told for the strictest level, known before any result.
    evidence = measure_change(rule, pairs, level=rule.alpha / sharing)
    return PendingCheck(rule=rule, evidence=evidence, missing=missing)


def _finish_check(weighed: PendingCheck, sides: GateInputs, level: float) -> CheckWithNotes:
    rule, missing = weighed.rule, weighed.missing
    evidence = replace(weighed.evidence, limits=replace(weighed.evidence.limits, alpha=level))
    outcome = decide_paired(evidence)
    scale, pairs = evidence.scale, evidence.pairs
    low, high = sorted(map(scale.as_change, (evidence.harm_low, evidence.harm_high)))
    check = Check(
        rule=rule,
        outcome=outcome,
        sentence=change_sentence(rule, outcome, evidence, missing),
        baseline=evidence.base,
        candidate=evidence.candidate,
        difference=_finite_or_none(scale.as_change(evidence.harm)),
        low=_finite_or_none(low),
        high=_finite_or_none(high),
        p_value=evidence.p_value,
        false_alarm=evidence.false_alarm,
        smallest_detectable=None
        if evidence.detectable_harm is None
        else _finite_or_none(abs(scale.as_change(evidence.detectable_harm))),
        users=_to_population_test(evidence) if rule.estimand == "suite" else None,
        cases=len(pairs.cases),
        base_trials=trials_per_case(pairs.base),
        trials=trials_per_case(pairs.candidate),
        hits=evidence.hits,
        to_decide=_plan_to_decide(evidence, sides) if outcome == "inconclusive" else "",
    )
    notes = (
        detectable_harm_text(rule, evidence),
        *(population_text(rule, evidence) if rule.estimand == "suite" else ()),
        *direction_warning(rule, pairs.info),
    )
    return CheckWithNotes(check, notes)


def _to_population_test(evidence: Evidence) -> PopulationTest | None:
    users = evidence.population
    if users is None:
        return None
    low, high = sorted(map(evidence.scale.as_change, users.bounds))
    return PopulationTest(
        clusters=users.clusters,
        p_value=users.test.p_value,
        low=_finite_or_none(low),
        high=_finite_or_none(high),
    )


def _plan_to_decide(evidence: Evidence, sides: GateInputs) -> str:
    trials = [trial for row in sides.candidate.trials.values() for trial in row if trial]
    costs = [trial.output.cost_usd for trial in trials if trial.output.cost_usd is not None]
    return plan_text(evidence, mean(costs) if costs else None)


def _check_point_change(rule: Rule, pairs: PairedScores, missing: Mapping[str, int]) -> Check:
    plain = compare_points(rule, pairs)
    return Check(
        rule=rule,
        outcome=plain.outcome,
        sentence=point_sentence(rule, plain, missing),
        baseline=plain.base,
        candidate=plain.candidate,
        difference=_finite_or_none(plain.scale.as_change(plain.harm)),
        cases=len(pairs.cases),
        base_trials=trials_per_case(pairs.base),
        trials=trials_per_case(pairs.candidate),
        hits=plain.hits,
    )


def _check_limit(rule: Rule, table: ScoreTable) -> Check:
    scores = _scores_of(rule, table)
    reading = estimate_metric(rule, table.infos[rule.metric].unit, scores)
    outcome = decide_absolute(rule, reading)
    is_point = rule.test == "point"
    return Check(
        rule=rule,
        outcome=outcome,
        sentence=limit_sentence(rule, outcome, reading),
        candidate=reading.value,
        low=None if is_point else _finite_or_none(reading.interval.low),
        high=None if is_point else _finite_or_none(reading.interval.high),
        cases=reading.cases,
        trials=reading.scored / reading.cases,
        to_decide=limit_plan_text(rule, reading) if outcome == "inconclusive" else "",
    )
