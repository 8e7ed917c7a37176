"""One threshold and the runs it is applied to into one check: an outcome, its sentence, its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
    users_text,
)
from evalkit.records import Rule
from evalkit.samples import CaseScores, ScoreTable, mean
from evalkit.spelling import missing_text
from evalkit.statistics.holm import holm_levels
from evalkit.summary import sum_missing
from evalkit.verdict import Check, UsersAnswer

LEAST_LATENCY_S = 0.01
"""What a latency must change by to count, unless the rule says: less is the scheduler's doing, and the
first call of a process, which is cold, is slower by as much."""


class Decided(NamedTuple):
    """A check, and what is to be known about it beside its sentence."""

    check: Check
    notes: tuple[str, ...] = ()


class Weighed(NamedTuple):
    """A threshold whose evidence is known, and which waits for that of the others."""

    rule: Rule
    evidence: Evidence
    missing: Mapping[str, int]


def apply_rules(rules: Sequence[Rule], sides: Sides) -> list[Decided]:
    """Decide all thresholds; what one cannot be applied to leaves it undecided, never passed.

    The primary one keeps its alpha. The others that compare by a test share theirs (Holm 1979): when
    nothing changed, the chance that any of them fails is at most the largest of their alphas. Those of
    an advisory metric decide nothing, and take no share.
    """
    advisory = {
        index: why for index, rule in enumerate(rules) if (why := _why_advisory(rule, sides))
    }
    sharing = [
        index
        for index, rule in enumerate(rules)
        if rule.is_tested and not rule.primary and index not in advisory
    ]
    found = [
        _open_rule(rule, sides, len(sharing) if index in sharing else 1)
        for index, rule in enumerate(rules)
    ]
    # One that cannot be applied proves nothing, whatever the level.
    p_values = [
        one.evidence.p_value if isinstance(one := found[index], Weighed) else 1.0
        for index in sharing
    ]
    alphas = [rules[index].alpha for index in sharing]
    levels = dict(zip(sharing, holm_levels(p_values, alphas), strict=True))
    decided = [
        _conclude(one, sides, levels.get(index, one.rule.alpha))
        if isinstance(one, Weighed)
        else one
        for index, one in enumerate(found)
    ]
    return [
        one._replace(check=replace(one.check, advisory=advisory.get(index, "")))
        for index, one in enumerate(decided)
    ]


def _why_advisory(rule: Rule, sides: Sides) -> str:
    info = sides.candidate.infos.get(rule.metric)
    return info.advisory if info is not None else ""


def _open_rule(rule: Rule, sides: Sides, sharing: int) -> Decided | Weighed:
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
            return _open_change(rule, sides, sharing)
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


def _open_change(rule: Rule, sides: Sides, sharing: int) -> Decided | Weighed:
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
        rule = replace(rule, and_at_least=LEAST_LATENCY_S)
    if rule.test == "point":
        return Decided(_check_plain_change(rule, pairs, missing))
    # What could have been seen is told for the strictest level, known before any result.
    evidence = weigh_evidence(rule, pairs, level=rule.alpha / sharing)
    return Weighed(rule=rule, evidence=evidence, missing=missing)


def _conclude(weighed: Weighed, sides: Sides, level: float) -> Decided:
    rule, missing = weighed.rule, weighed.missing
    evidence = replace(weighed.evidence, demand=replace(weighed.evidence.demand, alpha=level))
    outcome = judge_evidence(evidence)
    scale, pairs = evidence.scale, evidence.pairs
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
        false_alarm=evidence.false_alarm,
        smallest_seen=None
        if evidence.smallest_harm is None
        else _known(abs(scale.as_change(evidence.smallest_harm))),
        users=_users_answer(evidence) if rule.estimand == "suite" else None,
        cases=len(pairs.cases),
        base_trials=trials_per_case(pairs.base),
        trials=trials_per_case(pairs.candidate),
        hits=evidence.hits,
        to_decide=_plan(evidence, sides) if outcome == "inconclusive" else "",
    )
    notes = (
        sight_text(rule, evidence),
        *(users_text(rule, evidence) if rule.estimand == "suite" else ()),
        *direction_text(rule, pairs.info),
    )
    return Decided(check, notes)


def _users_answer(evidence: Evidence) -> UsersAnswer | None:
    users = evidence.users
    if users is None:
        return None
    low, high = sorted(map(evidence.scale.as_change, users.bounds))
    return UsersAnswer(
        clusters=users.clusters, p_value=users.test.p_value, low=_known(low), high=_known(high)
    )


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
