"""Measure the change of a metric between two runs: size, interval, p-value, and worst cases."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from math import ceil, floor, inf

import numpy as np

from evalkit.compare.estimates import QUANTILE_LEVELS, TrialValues, compute_statistic, mean_of_means
from evalkit.compare.paired_scores import PairedScores
from evalkit.compare.scores import mean
from evalkit.core.eval_set import Rule
from evalkit.gate.evidence import (
    DISPLAY_ALPHA,
    Evidence,
    HarmScale,
    PointComparison,
    choose_scale,
    drop_limits_of,
)
from evalkit.gate.graded import measure_graded
from evalkit.gate.hits import find_hits, is_binary
from evalkit.gate.population import estimate_for_users
from evalkit.gate.traffic import measure_for_traffic
from evalkit.stats.distributions import Floats
from evalkit.stats.exchange_test import ExchangeTest, compare_passes
from evalkit.stats.intervals import Interval
from evalkit.stats.pass_counts import PassCounts, RerunChoice, count_below_quantile
from evalkit.stats.power import (
    Design,
    bound_drop,
    find_detectable_drop,
    find_detectable_shift,
    z_quantile,
)
from evalkit.stats.sign_flip_test import ClusterTest, SignFlipTest


def measure_change(rule: Rule, pairs: PairedScores, *, level: float | None = None) -> Evidence:
    """Measure a rule that has `max_drop` or `max_rise`.

    Args:
        rule: the rule. Intervals are at its alpha.
        pairs: the values of both runs.
        level: the level of the p-value if several thresholds share alpha.

    Raises:
        NotComparable: the change cannot be expressed as a share of the baseline.
        Undecidable: the rule weighs cases by traffic, and has no weights for them.
    """
    level = level or rule.alpha
    if rule.estimand == "traffic":
        return measure_for_traffic(rule, pairs.keep_first_trials(), level)
    if rule.stat in QUANTILE_LEVELS:
        return _measure_quantile(rule, pairs.keep_first_trials(), level)
    if rule.stat == "rate" or is_binary(pairs):
        evidence = _measure_passes(rule, pairs, level)
    else:
        evidence = measure_graded(rule, pairs.keep_first_trials(), level)
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
        hits=find_hits(pairs, _harms_by_case(pairs, scale)),
    )


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


def _measure_passes(rule: Rule, pairs: PairedScores, level: float) -> Evidence:
    scale = HarmScale(sign=-1 if rule.max_drop is not None else 1)
    base = mean_of_means(pairs.base)
    limits = drop_limits_of(rule, scale, base, level)
    counts = _count_passes(pairs)
    good = counts if scale.sign < 0 else counts.inverted()
    test = compare_passes(good)
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

    def bounds_at(alpha: float) -> Interval:
        z = z_quantile(alpha)
        # A rate cannot change by more than 1.
        return Interval(
            max(-1.0, -test.delta - z * test.se), min(1.0, bound_drop(design, -test.delta, z))
        )

    return Evidence(
        pairs=pairs,
        scale=scale,
        limits=limits,
        base=base,
        candidate=mean_of_means(pairs.candidate),
        harm=-test.delta,
        bounds=bounds_at(rule.alpha),
        display=bounds_at(DISPLAY_ALPHA),
        p_value=test.p_value,
        p_bound=test.p_of_result,
        p_unweighted=test.plain.p_value,
        smallest_p=test.smallest_p,
        is_offset_by_gains=test.is_offset_by_gains(level),
        false_alarm=test.false_alarm(rule.alpha),
        detectable_harm=find_detectable_drop(design, limits),
        hits=find_hits(pairs, harms),
        design=design,
        population=estimate_for_users(
            pairs.cases,
            harms,
            rule.alpha,
            suite=bounds_at(rule.alpha),
            suite_test=SignFlipTest(
                test.plain.p_value, test.plain.null_distribution.smallest_mid_p
            ),
        ),
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

    def bounds_at(alpha: float) -> Interval:
        reach = z_quantile(alpha) * test.se
        bounds = _bracket_quantile(pairs.candidate, level, reach)
        return Interval(*sorted(scale.harm(base, bound) for bound in bounds))

    bounds = bounds_at(rule.alpha)
    harm = scale.harm(base, candidate)
    return Evidence(
        pairs=pairs,
        scale=scale,
        limits=limits,
        base=base,
        candidate=candidate,
        harm=harm,
        bounds=bounds,
        display=bounds_at(DISPLAY_ALPHA),
        p_value=test.p_value,
        p_unweighted=test.plain.p_value,
        smallest_p=test.smallest_p,
        false_alarm=test.false_alarm(rule.alpha),
        detectable_harm=find_detectable_shift((bounds.high - harm) / z, limits),
        hits=find_hits(pairs, _harms_by_case(pairs, scale)),
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
        display=_display_for_users(rule, evidence, users),
        p_value=p_value,
        p_unweighted=p_value,
        smallest_p=smallest_p,
        p_bound=1.0,
        is_offset_by_gains=False,
        false_alarm=rule.alpha if smallest_p <= rule.alpha else 0.0,
        detectable_harm=find_detectable_shift(se, limits) if smallest_p <= limits.alpha else None,
        design=None,
    )


def _display_for_users(rule: Rule, evidence: Evidence, users: ClusterTest) -> Interval:
    """Return the bounds for other cases like these at `DISPLAY_ALPHA`, an approximation."""
    if rule.alpha == DISPLAY_ALPHA:
        return users.bounds
    # Both intervals reach multiples of one standard error.
    size = z_quantile(DISPLAY_ALPHA) / z_quantile(rule.alpha)
    return Interval(*(evidence.harm + size * (bound - evidence.harm) for bound in users.bounds))
