"""Measure how much worse a run's answers are judged than the baseline's, for a pairwise metric.

The value of a case is 1 if it is won, .5 if it is tied, and 0 if it is lost. An unchanged agent has a mean
of one half, which is the value of the baseline.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

from evalkit.compare.paired_scores import PairedScores
from evalkit.compare.preferences import (
    CasePreference,
    collect_preferences,
    count_preferences,
    digest_answer,
)
from evalkit.compare.scores import ScoreTable, mean
from evalkit.core.errors import Undecidable
from evalkit.core.eval_set import Rule
from evalkit.core.format import format_count, format_limit
from evalkit.core.gate_result import CaseContribution
from evalkit.evalset.gate import explain_pairwise_misuse
from evalkit.gate.evidence import DISPLAY_ALPHA, Evidence, HarmScale, drop_limits_of
from evalkit.gate.inputs import GateInputs
from evalkit.stats.intervals import Interval
from evalkit.stats.power import find_detectable_shift
from evalkit.stats.sign_test import find_rejection_rate, net_share_interval, run_sign_test

EQUAL = 0.5
"""The value of the baseline: compared with itself, every case is tied."""

_MAX_HITS = 5


def measure_preference(rule: Rule, inputs: GateInputs, level: float) -> Evidence:
    """Measure a rule with `max_drop` on a pairwise metric by the exact sign test of its cases.

    With `estimand: users`, the cases of a cluster count as one.

    Args:
        rule: the rule. Intervals are at its alpha.
        inputs: the run and its baseline.
        level: the level of the p-value if several thresholds share alpha.

    Raises:
        Undecidable: there is no baseline, the run was compared with another one, or the rule is of another
            kind.
    """
    # Checked when a set is read; a stored run may have been made with other rules.
    if why := explain_pairwise_misuse(rule):
        raise Undecidable(why)
    base, _ = inputs.require_base()
    cases = collect_preferences(inputs.candidate, rule.metric, rule.tag)
    if not cases:
        raise Undecidable("no answer of this run was compared with one of the baseline")
    _refuse_other_baseline(cases, base, inputs.candidate)
    units = _list_units(rule, cases)
    points = [unit.points for unit in units]
    wins, losses = points.count(1), points.count(-1)
    flips = sum(unit.flipped and not unit.points for unit in units)
    test = run_sign_test(wins, losses)
    harm = EQUAL - mean(mean(each.values) for each in cases)
    # With several trials, the harm is a mean over pairs, while a case is won or lost as a whole. The mean
    # varies less than that, so the interval around it is wide enough.
    shift = harm - (losses - wins) / len(points) / 2

    def bounds_at(alpha: float) -> Interval:
        net = _bound_harm(wins, losses, points.count(0) - flips, flips, alpha)
        return Interval(max(-EQUAL, net.low + shift), min(EQUAL, net.high + shift))

    scale = HarmScale(sign=-1)
    limits = drop_limits_of(rule, scale, EQUAL, level)
    decided = (wins + losses) / len(points)
    # Of an unchanged agent: with the observed lead, it would be 0 where all cases are lost.
    se = sqrt(decided / len(points)) / 2
    return Evidence(
        pairs=_pair_values(inputs.candidate, rule.metric, cases),
        scale=scale,
        limits=limits,
        base=EQUAL,
        candidate=EQUAL - harm,
        harm=harm,
        bounds=bounds_at(rule.alpha),
        display=bounds_at(DISPLAY_ALPHA),
        p_value=test.p_value,
        p_unweighted=test.p_value,
        smallest_p=test.smallest_p,
        false_alarm=find_rejection_rate(wins + losses, rule.alpha),
        detectable_harm=find_detectable_shift(se, limits) if test.smallest_p <= level else None,
        hits=_find_lost_cases(cases),
        preference=count_preferences(cases),
    )


def _bound_harm(wins: int, losses: int, ties: int, flips: int, alpha: float) -> Interval:
    """Return the bounds of the harm of cases that are won, lost, tied, or tied because a preference flipped.

    A flip is no evidence that two answers are equal: a judge that prefers a place would prove that nothing
    got worse. So the cases that flipped may be as the others are, or tied, whichever bound is wider.
    """
    bounds = [net_share_interval(wins, losses, wins + losses + ties + flips, alpha)]
    if flips:
        known = wins + losses + ties
        bounds += [net_share_interval(wins, losses, known, alpha) if known else Interval(-1.0, 1.0)]
    return Interval(-max(each.high for each in bounds) / 2, -min(each.low for each in bounds) / 2)


def explain_undecidable_preference(rule: Rule, cases: int) -> str:
    """Return why a rule on a pairwise metric cannot fail, or cannot pass, on so many cases; else empty."""
    smallest = run_sign_test(0, cases).p_value
    if smallest > rule.alpha:
        return (
            f"cannot fail with any result: when all of {format_count(cases, 'case')} are lost, the p-value "
            f"is {smallest:.2g}, and {rule.alpha:g} is needed. Add cases."
        )
    limits = drop_limits_of(rule, HarmScale(sign=-1), EQUAL, rule.alpha)
    reach = _bound_harm(0, 0, cases, 0, rule.alpha).high
    if reach < limits.tolerated:
        return ""
    return (
        f"can hardly pass: when all of {format_count(cases, 'case')} are tied, the interval reaches "
        f"{100 * reach:.1f} pt, but only {format_limit(limits.tolerated, '')} is tolerated. Add cases, or "
        "raise margin."
    )


def _refuse_other_baseline(
    cases: Sequence[CasePreference], base: ScoreTable, candidate: ScoreTable
) -> None:
    """Raise Undecidable if a pair is not with an answer of this baseline."""
    answers = {
        (trial.case_id, trial.number): digest_answer(trial.output)
        for row in base.trials.values()
        for trial in row
        if trial is not None
    }
    for each in cases:
        for pair in each.pairs:
            if answers.get((each.case.id, pair.base_trial)) != pair.base_answer:
                raise Undecidable(
                    f"case {each.case.id!r} was compared with another answer than this baseline's. "
                    f"Compare again: evalkit score {candidate.header.id}"
                )


class _Unit(NamedTuple):
    """A case or a cluster: 1 if it is won, -1 if it is lost, else 0; and whether a preference flipped."""

    points: int
    flipped: bool


def _list_units(rule: Rule, cases: Sequence[CasePreference]) -> list[_Unit]:
    """Return the cases, or the clusters of cases if the rule is about other cases."""
    groups: defaultdict[tuple[str, str], list[CasePreference]] = defaultdict(list)
    for case in cases:
        cluster = case.case.cluster if rule.estimand == "users" else None
        key = ("case", case.case.id) if cluster is None else ("cluster", cluster)
        groups[key].append(case)
    units = []
    for group in groups.values():
        total = sum(case.points for case in group)
        flipped = any(pair.flipped is not None for case in group for pair in case.pairs)
        units.append(_Unit((total > 0) - (total < 0), flipped))
    return units


def _pair_values(
    candidate: ScoreTable, metric: str, cases: Sequence[CasePreference]
) -> PairedScores:
    return PairedScores(
        info=candidate.infos[metric],
        cases=tuple(each.case for each in cases),
        base=tuple((EQUAL,) * len(each.pairs) for each in cases),
        candidate=tuple(each.values for each in cases),
    )


def _find_lost_cases(cases: Sequence[CasePreference]) -> tuple[CaseContribution, ...]:
    """Return the cases that lost most, worst first."""
    lost = sorted((each for each in cases if each.points < 0), key=lambda each: mean(each.values))
    return tuple(
        CaseContribution(
            case_id=each.case.id,
            base=EQUAL,
            base_trials=len(each.pairs),
            candidate=mean(each.values),
            trials=len(each.pairs),
            is_count=False,
        )
        for each in lost[:_MAX_HITS]
    )
