"""One threshold and the runs it is applied to into one check: an outcome, its sentence, its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import NamedTuple

from evalkit.compare import PairedScores, pair_scores
from evalkit.errors import NotComparable, Undecidable
from evalkit.gating.broken import check_broken
from evalkit.gating.case_rules import check_must_pass, check_regressed
from evalkit.gating.evidence import Evidence, judge_evidence
from evalkit.gating.limits import judge_reading, read_value
from evalkit.gating.sides import Sides, missing_name
from evalkit.gating.weighing import take_plain_change, weigh_evidence
from evalkit.gating.wording import (
    change_sentence,
    direction_text,
    limit_plan_text,
    limit_sentence,
    plan_text,
    point_sentence,
    sight_text,
    trials_per_case,
    undecided_sentence,
)
from evalkit.records import Rule
from evalkit.samples import CaseScores, ScoreTable, mean
from evalkit.spelling import missing_text
from evalkit.summary import sum_missing
from evalkit.verdict import Check


class Decided(NamedTuple):
    """A check, and what is to be known about it beside its sentence."""

    check: Check
    notes: tuple[str, ...] = ()


def apply_rule(rule: Rule, sides: Sides) -> Decided:
    """Decide one threshold; what it cannot be applied to leaves it undecided, never passed."""
    try:
        if rule.tag is not None and rule.tag not in sides.candidate.tags:
            raise Undecidable(missing_name("case has the tag", rule.tag, sides.candidate.tags))
        if rule.must_pass is not None:
            return Decided(check_must_pass(rule, sides.candidate))
        if rule.max_regressed is not None:
            return Decided(check_regressed(rule, sides))
        if rule.broken_cases is not None:
            return Decided(check_broken(rule, sides))
        infos = sides.candidate.infos
        if rule.metric not in infos:
            raise Undecidable(missing_name("metric of this run is named", rule.metric, infos))
        if rule.compares:
            return _check_change(rule, sides)
        return Decided(_check_limit(rule, sides.candidate))
    except Undecidable as why:
        return Decided(
            Check(rule=rule, outcome="undecided", sentence=undecided_sentence(rule, str(why)))
        )


def _known(bound: float) -> float | None:
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
        raise Undecidable(f"not one trial has a value of it ({missing_text(sum_missing(scores))})")
    if rule.stat == "rate" and not any(case.flags for case in scores):
        raise Undecidable("it is a measurement that neither passes nor fails, so it has no rate")
    return scores


def _check_change(rule: Rule, sides: Sides) -> Decided:
    base, _ = sides.require_base()
    missing = sum_missing(_scores_of(rule, sides.candidate))
    try:
        pairs = pair_scores(
            base, sides.candidate, rule.metric, tag=rule.tag, flags=rule.stat == "rate"
        )
    except NotComparable as why:
        raise Undecidable(f"{why}. Record today's baseline: {sides.record_command}") from why
    if rule.test == "point":
        return Decided(_check_plain_change(rule, pairs, missing))
    evidence = weigh_evidence(rule, pairs)
    outcome = judge_evidence(evidence)
    scale = evidence.scale
    low, high = sorted(map(scale.as_change, (evidence.harm_low, evidence.harm_high)))
    check = Check(
        rule=rule,
        outcome=outcome,
        sentence=change_sentence(rule, outcome, evidence, missing),
        baseline=evidence.base,
        candidate=evidence.candidate,
        difference=_known(scale.as_change(evidence.harm)),
        low=_known(low),
        high=_known(high),
        p_value=evidence.p_value,
        cases=len(pairs.cases),
        base_trials=trials_per_case(pairs.base),
        trials=trials_per_case(pairs.candidate),
        hits=evidence.hits,
        to_decide=_plan(evidence, sides) if outcome == "inconclusive" else "",
    )
    return Decided(check, (sight_text(rule, evidence), *direction_text(rule, pairs.info)))


def _plan(evidence: Evidence, sides: Sides) -> str:
    trials = [trial for row in sides.candidate.trials.values() for trial in row if trial]
    costs = [trial.output.cost_usd for trial in trials if trial.output.cost_usd is not None]
    return plan_text(evidence, mean(costs) if costs else None)


def _check_plain_change(rule: Rule, pairs: PairedScores, missing: Mapping[str, int]) -> Check:
    plain = take_plain_change(rule, pairs)
    return Check(
        rule=rule,
        outcome=plain.outcome,
        sentence=point_sentence(rule, plain, missing),
        baseline=plain.base,
        candidate=plain.candidate,
        difference=_known(plain.scale.as_change(plain.harm)),
        cases=len(pairs.cases),
        base_trials=trials_per_case(pairs.base),
        trials=trials_per_case(pairs.candidate),
        hits=plain.hits,
    )


def _check_limit(rule: Rule, table: ScoreTable) -> Check:
    scores = _scores_of(rule, table)
    reading = read_value(rule, table.infos[rule.metric].unit, scores)
    outcome = judge_reading(rule, reading)
    is_point = rule.test == "point"
    return Check(
        rule=rule,
        outcome=outcome,
        sentence=limit_sentence(rule, outcome, reading),
        candidate=reading.value,
        low=None if is_point else _known(reading.interval.low),
        high=None if is_point else _known(reading.interval.high),
        cases=reading.cases,
        trials=reading.scored / reading.cases,
        to_decide=limit_plan_text(rule, reading) if outcome == "inconclusive" else "",
    )
