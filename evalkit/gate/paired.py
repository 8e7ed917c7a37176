"""Measure the change of a metric between two runs: size, interval, p-value, and worst cases."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from math import ceil, floor, inf, sqrt

import numpy as np

from evalkit.compare.estimates import QUANTILE_LEVELS, TrialValues, compute_statistic, mean_of_means
from evalkit.compare.pairs import PairedScores
from evalkit.compare.scores import mean
from evalkit.core.eval_set import Rule
from evalkit.core.gate_result import CaseContribution
from evalkit.gate.evidence import (
    Evidence,
    HarmScale,
    PointComparison,
    choose_scale,
    drop_limits_of,
)
from evalkit.gate.population import estimate_for_users
from evalkit.stats.distributions import Floats
from evalkit.stats.exchange_test import ExchangeTest, compare_passes
from evalkit.stats.intervals import Interval, mean_interval
from evalkit.stats.pass_counts import PassCounts, RerunChoice, count_below_quantile
from evalkit.stats.power import Design, find_detectable_drop, find_detectable_shift, z_quantile
from evalkit.stats.sign_flip_test import run_sign_flip_test

_MAX_HITS = 5
_ROUNDING = 1e-9
_REFINEMENTS = 20
"""Each one makes the error of the bound several times smaller."""


def measure_change(rule: Rule, pairs: PairedScores, *, level: float | None = None) -> Evidence:
    """Measure a rule that has `max_drop` or `max_rise`.

    Args:
        rule: the rule. Intervals are at its alpha.
        pairs: the values of both runs.
        level: the level of the p-value if several thresholds share alpha.

    Raises:
        NotComparable: the change cannot be expressed as a share of the baseline.
    """
    level = level or rule.alpha
    if rule.stat in QUANTILE_LEVELS:
        return _measure_quantile(rule, pairs, level)
    if rule.stat == "rate" or _is_binary(pairs):
        evidence = _measure_passes(rule, pairs, level)
    else:
        evidence = _measure_means(rule, pairs, level)
    return _apply_users_estimand(rule, evidence) if rule.estimand == "users" else evidence


def compare_points(rule: Rule, pairs: PairedScores) -> PointComparison:
    """Compare the statistics of both runs without a test.

    Raises:
        NotComparable: the change cannot be expressed as a share of the baseline.
    """
    base = compute_statistic(rule, pairs.base)
    scale = choose_scale(rule, pairs, base, by_case=False)
    return PointComparison(
        pairs=pairs,
        scale=scale,
        limits=drop_limits_of(rule, scale, base, rule.alpha),
        base=base,
        candidate=compute_statistic(rule, pairs.candidate),
        hits=_find_hits(pairs, _harms_by_case(pairs, scale)),
    )


def _is_binary(pairs: PairedScores) -> bool:
    """Return whether all values are shares of 0 or 1, so that passes can be counted."""
    values = chain(*pairs.base, *pairs.candidate)
    return not pairs.info.unit and all(value in (0.0, 1.0) for value in values)


def _count_passes(pairs: PairedScores) -> PassCounts:
    reruns = pairs.reruns
    counts = PassCounts(
        base_passed=np.array([round(sum(row)) for row in pairs.base]),
        base_trials=np.array([len(row) for row in pairs.base]),
        passed=np.array([round(sum(row)) for row in pairs.candidate]),
        trials=np.array([len(row) for row in pairs.candidate]),
    )
    if not reruns:
        return counts
    return replace(
        counts,
        passed=counts.passed + np.array([round(sum(each.extra)) for each in reruns]),
        trials=counts.trials + np.array([len(each.extra) for each in reruns]),
        choice=RerunChoice(
            marked=np.array([each.marked for each in reruns]),
            marked_passed=np.array([each.marked_passed for each in reruns]),
        ),
        counted_passed=counts.passed,
        counted_trials=counts.trials,
    )


def _harms_by_case(pairs: PairedScores, scale: HarmScale) -> Floats:
    before = np.array([mean(row) for row in pairs.base])
    after = np.array([mean(row) for row in pairs.candidate])
    harms: Floats = scale.sign * (after - before)
    return harms


def _find_hits(pairs: PairedScores, harms: Floats) -> tuple[CaseContribution, ...]:
    """Return the cases with the most harm, worst first."""
    is_count = _is_binary(pairs)
    statistic = sum if is_count else mean
    # A stable sort keeps equal cases in the order of the set.
    worst = [
        index for index in np.argsort(-harms, kind="stable").tolist() if harms[index] > _ROUNDING
    ]
    return tuple(
        CaseContribution(
            case_id=pairs.cases[index].id,
            base=statistic(pairs.base[index]),
            base_trials=len(pairs.base[index]),
            candidate=statistic(pairs.candidate[index]),
            trials=len(pairs.candidate[index]),
            is_count=is_count,
        )
        for index in worst[:_MAX_HITS]
    )


def _bound_harm(design: Design, harm: float, z: float) -> float:
    """Return the largest harm that the result does not rule out, z standard errors above `harm`.

    The standard error is that of an agent with the returned harm, as in a score interval (Wilson 1927).
    """
    bound = harm + z * design.se
    for _ in range(_REFINEMENTS):
        bound = harm + z * design.se_bound_after(max(bound, 0.0))
    return bound


def _measure_passes(rule: Rule, pairs: PairedScores, level: float) -> Evidence:
    scale = HarmScale(sign=-1 if rule.max_drop is not None else 1)
    base = mean_of_means(pairs.base)
    limits = drop_limits_of(rule, scale, base, level)
    counts = _count_passes(pairs)
    good = counts if scale.sign < 0 else counts.inverted()
    test = compare_passes(good)
    z = z_quantile(rule.alpha)
    # For a rise, failures count as passes, so that the formulas for a drop apply.
    rates = good.base_passed / good.base_trials
    passed, trials = good.counted
    harms = rates - passed / trials
    design = Design(
        cases=len(pairs.cases),
        base_trials=test.base_trials,
        trials=test.trials,
        mean=float(np.mean(rates)),
        noise=test.noise,
    )
    # A rate cannot change by more than 1.
    bounds = Interval(
        max(-1.0, -test.delta - z * test.se), min(1.0, _bound_harm(design, -test.delta, z))
    )
    return Evidence(
        pairs=pairs,
        scale=scale,
        limits=limits,
        base=base,
        candidate=mean_of_means(pairs.candidate),
        harm=-test.delta,
        bounds=bounds,
        p_value=test.p_value,
        p_bound=test.p_of_result,
        p_unweighted=test.plain.p_value,
        smallest_p=test.smallest_p,
        is_offset_by_gains=test.is_offset_by_gains(level),
        false_alarm=test.false_alarm(rule.alpha),
        detectable_harm=find_detectable_drop(design, limits),
        hits=_find_hits(pairs, harms),
        design=design,
        population=estimate_for_users(pairs.cases, harms, rule.alpha, suite=bounds),
    )


def _measure_means(rule: Rule, pairs: PairedScores, level: float) -> Evidence:
    scale = choose_scale(rule, pairs, mean_of_means(pairs.base), by_case=True)
    before, after = (
        np.array([mean(map(scale.to_scale, row)) for row in rows])
        for rows in (pairs.base, pairs.candidate)
    )
    base = scale.from_scale(mean(before))
    limits = drop_limits_of(rule, scale, base, level)
    harms = scale.sign * (after - before)
    test = run_sign_flip_test(harms)
    bounds = mean_interval(harms, rule.alpha)
    se = float(np.std(harms, ddof=1)) / sqrt(harms.size) if harms.size > 1 else inf
    # The sign-flip test is about other cases like these already; only clusters change the result.
    asks_users = rule.estimand == "users" or any(case.cluster is not None for case in pairs.cases)
    return Evidence(
        pairs=pairs,
        scale=scale,
        limits=limits,
        base=base,
        candidate=scale.from_scale(mean(after)),
        harm=mean(harms),
        bounds=bounds,
        p_value=test.p_value,
        p_unweighted=test.p_value,
        smallest_p=test.smallest_p,
        false_alarm=rule.alpha if test.smallest_p <= rule.alpha else 0.0,
        detectable_harm=find_detectable_shift(se, limits) if test.smallest_p <= level else None,
        hits=_find_hits(pairs, harms),
        population=estimate_for_users(pairs.cases, harms, rule.alpha) if asks_users else None,
    )


def _compare_tails(pairs: PairedScores, level: float, sign: int) -> ExchangeTest:
    """Test whether more trials are beyond the pooled quantile, on the side that is worse."""
    # For a rise, values below the quantile are good. For a drop, negate the values.
    if sign > 0:
        return compare_passes(count_below_quantile(pairs.base, pairs.candidate, level))
    base, candidate = (
        [[-value for value in row] for row in rows] for rows in (pairs.base, pairs.candidate)
    )
    return compare_passes(count_below_quantile(base, candidate, 1 - level))


def _bracket_quantile(rows: TrialValues, level: float, reach: float) -> Interval:
    """Return the values at the levels `level - reach` and `level + reach`; infinite if there is none."""
    values = sorted(chain(*rows))
    below = floor((level - reach) * len(values))
    above = ceil((level + reach) * len(values))
    return Interval(
        values[below - 1] if below >= 1 else -inf,
        values[above - 1] if above <= len(values) else inf,
    )


def _measure_quantile(rule: Rule, pairs: PairedScores, p_level: float) -> Evidence:
    """Test a shift of a quantile exactly, with an interval by Woodruff's method (1952).

    The interval of the candidate's quantile is between its values at two other levels. Their distance to
    the level is z standard errors of the difference of the shares beyond the quantile.
    """
    level = QUANTILE_LEVELS[rule.stat]
    base, candidate = (compute_statistic(rule, rows) for rows in (pairs.base, pairs.candidate))
    scale = choose_scale(rule, pairs, base, by_case=False)
    limits = drop_limits_of(rule, scale, base, p_level)
    test = _compare_tails(pairs, level, scale.sign)
    z = z_quantile(rule.alpha)
    bounds = _bracket_quantile(pairs.candidate, level, z * test.se)
    low, high = sorted(scale.harm(base, bound) for bound in bounds)
    harm = scale.harm(base, candidate)
    return Evidence(
        pairs=pairs,
        scale=scale,
        limits=limits,
        base=base,
        candidate=candidate,
        harm=harm,
        bounds=Interval(low, high),
        p_value=test.p_value,
        p_unweighted=test.plain.p_value,
        smallest_p=test.smallest_p,
        false_alarm=test.false_alarm(rule.alpha),
        detectable_harm=find_detectable_shift((high - harm) / z, limits),
        hits=_find_hits(pairs, _harms_by_case(pairs, scale)),
    )


def _apply_users_estimand(rule: Rule, evidence: Evidence) -> Evidence:
    """Return the evidence with the test and the interval for other cases like these."""
    users, limits = evidence.population, evidence.limits
    if users is None:
        return evidence
    p_value, smallest_p = users.test
    # An approximation: the interval reaches a t quantile, not a z quantile, of standard errors.
    se = (users.bounds.high - evidence.harm) / z_quantile(rule.alpha)
    return replace(
        evidence,
        bounds=users.bounds,
        p_value=p_value,
        p_unweighted=p_value,
        smallest_p=smallest_p,
        p_bound=1.0,
        is_offset_by_gains=False,
        false_alarm=rule.alpha if smallest_p <= rule.alpha else 0.0,
        detectable_harm=find_detectable_shift(se, limits) if smallest_p <= limits.alpha else None,
        design=None,
    )
