"""Measure how much worse a run's answers are judged than the baseline's, for a pairwise metric.

The value of a case is 1 if it is won, .5 if it is tied, and 0 if it is lost. An unchanged agent has a mean
of one half, which is the value of the baseline.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import sqrt

from evalkit.compare.pairs import PairedScores
from evalkit.compare.preferences import (
    CasePreference,
    collect_preferences,
    count_preferences,
    digest_answer,
)
from evalkit.compare.scores import ScoreTable, mean
from evalkit.core.errors import Undecidable
from evalkit.core.eval_set import Rule
from evalkit.core.gate_result import CaseContribution
from evalkit.evalset.gate import explain_pairwise_misuse
from evalkit.gate.evidence import Evidence, HarmScale, drop_limits_of
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
    points = _count_points(rule, cases)
    wins, losses = points.count(1), points.count(-1)
    test = run_sign_test(wins, losses)
    harm = EQUAL - mean(mean(each.values) for each in cases)
    bounds = _bound_harm(wins, losses, len(points), rule.alpha, harm)
    scale = HarmScale(sign=-1)
    limits = drop_limits_of(rule, scale, EQUAL, level)
    decided = (wins + losses) / len(points)
    lead = (losses - wins) / len(points)
    se = sqrt(max(decided - lead**2, 0.0) / len(points)) / 2
    can_fail = test.smallest_p <= level and se > 0
    return Evidence(
        pairs=_pair_values(inputs.candidate, rule.metric, cases),
        scale=scale,
        limits=limits,
        base=EQUAL,
        candidate=EQUAL - harm,
        harm=harm,
        bounds=bounds,
        p_value=test.p_value,
        p_unweighted=test.p_value,
        smallest_p=test.smallest_p,
        false_alarm=find_rejection_rate(wins + losses, rule.alpha),
        detectable_harm=find_detectable_shift(se, limits) if can_fail else None,
        hits=_find_lost_cases(cases),
        preference=count_preferences(cases),
    )


def _bound_harm(wins: int, losses: int, cases: int, alpha: float, harm: float) -> Interval:
    """Return the bounds of the harm, at most one half on each side.

    With several trials, the harm is a mean over pairs, and a case is still won or lost as a whole. The mean
    varies less than that, so the interval around it is wide enough.
    """
    net = net_share_interval(wins, losses, cases, alpha)
    shift = harm - (losses - wins) / cases / 2
    return Interval(max(-EQUAL, shift - net.high / 2), min(EQUAL, shift - net.low / 2))


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


def _count_points(rule: Rule, cases: Sequence[CasePreference]) -> list[int]:
    """Return 1, 0, or -1 for each case, or for each cluster if the rule is about other cases."""
    if rule.estimand == "suite":
        return [case.points for case in cases]
    totals: defaultdict[tuple[str, str], int] = defaultdict(int)
    for case in cases:
        cluster = case.case.cluster
        key = ("case", case.case.id) if cluster is None else ("cluster", cluster)
        totals[key] += case.points
    return [(total > 0) - (total < 0) for total in totals.values()]


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
