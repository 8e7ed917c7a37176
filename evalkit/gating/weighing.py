"""Two runs' values of one metric into evidence: the change, its bounds, its odds, its worst cases."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from math import ceil, floor, inf, sqrt

import numpy as np

from evalkit.compare import PairedScores
from evalkit.gating.evidence import Evidence, PlainChange
from evalkit.gating.scale import (
    LEVELS,
    Rows,
    Scale,
    choose_scale,
    demand_of,
    mean_of_means,
    statistic_of,
)
from evalkit.gating.users import ask_for_users
from evalkit.records import Rule
from evalkit.samples import mean
from evalkit.statistics.exchange import ExchangeTest, Floats, PassCounts, compare_passes
from evalkit.statistics.intervals import Interval, mean_interval
from evalkit.statistics.power import Design, smallest_drop, smallest_shift, z_of
from evalkit.statistics.signs import count_within, flip_signs
from evalkit.verdict import CaseHit

_MOST_HITS = 5
_ROUNDING = 1e-9
_REFINEMENTS = 20
"""Each brings the bound several times nearer, as the standard error changes little with it."""


def is_binary(pairs: PairedScores) -> bool:
    """Whether all values are shares that are 0 or 1, so that passes can be counted."""
    values = chain(*pairs.base, *pairs.candidate)
    return not pairs.info.unit and all(value in (0.0, 1.0) for value in values)


def count_passes(pairs: PairedScores) -> PassCounts:
    """Values of 0 and 1 as passes, case by case."""
    return PassCounts(
        base_passed=np.array([round(sum(row)) for row in pairs.base]),
        base_trials=np.array([len(row) for row in pairs.base]),
        passed=np.array([round(sum(row)) for row in pairs.candidate]),
        trials=np.array([len(row) for row in pairs.candidate]),
    )


def _harms_by_case(pairs: PairedScores, scale: Scale) -> Floats:
    before = np.array([mean(row) for row in pairs.base])
    after = np.array([mean(row) for row in pairs.candidate])
    harms: Floats = scale.sign * (after - before)
    return harms


def _find_hits(pairs: PairedScores, harms: Floats) -> tuple[CaseHit, ...]:
    """The cases that moved most towards harm, worst first."""
    is_count = is_binary(pairs)
    statistic = sum if is_count else mean
    worst = [
        index for index in np.argsort(-harms, kind="stable").tolist() if harms[index] > _ROUNDING
    ]
    return tuple(
        CaseHit(
            case_id=pairs.cases[index].id,
            base=statistic(pairs.base[index]),
            base_trials=len(pairs.base[index]),
            candidate=statistic(pairs.candidate[index]),
            trials=len(pairs.candidate[index]),
            is_count=is_count,
        )
        for index in worst[:_MOST_HITS]
    )


def _bound_harm(design: Design, harm: float, z: float) -> float:
    """The largest harm that what was seen does not rule out: it lies z standard errors below that.

    The standard error is that of an agent with this harm, as in a score interval (Wilson 1927).
    """
    bound = harm + z * design.se
    for _ in range(_REFINEMENTS):
        bound = harm + z * design.se_if_lost(max(bound, 0.0))
    return bound


def _weigh_passes(rule: Rule, pairs: PairedScores, level: float) -> Evidence:
    scale = Scale(sign=-1 if rule.max_drop is not None else 1)
    base = mean_of_means(pairs.base)
    demand = demand_of(rule, scale, base, level)
    counts = count_passes(pairs)
    good = counts if scale.sign < 0 else counts.inverted()
    test = compare_passes(good)
    z = z_of(rule.alpha)
    rates = good.base_passed / good.base_trials
    harms = rates - good.passed / good.trials
    design = Design(
        cases=len(pairs.cases),
        base_trials=1 / float(np.mean(1 / good.base_trials)),
        trials=1 / float(np.mean(1 / good.trials)),
        mean=float(np.mean(rates)),
        noise=test.noise,
    )
    # No rate falls or rises by more than all of it, however few the cases.
    bounds = Interval(
        max(-1.0, -test.delta - z * test.se), min(1.0, _bound_harm(design, -test.delta, z))
    )
    return Evidence(
        pairs=pairs,
        scale=scale,
        demand=demand,
        base=base,
        candidate=mean_of_means(pairs.candidate),
        harm=-test.delta,
        harm_low=bounds.low,
        harm_high=bounds.high,
        p_value=test.p_value,
        p_plain=test.plain.p_value,
        smallest_p=test.smallest_p,
        is_offset=test.is_offset and test.drop.p_value <= level,
        false_alarm=test.false_alarm(rule.alpha),
        smallest_harm=smallest_drop(design, demand),
        hits=_find_hits(pairs, harms),
        design=design,
        users=ask_for_users(pairs.cases, harms, rule.alpha, of_these=bounds),
    )


def _measured_means(rows: Rows, scale: Scale) -> Floats:
    return np.array([mean(map(scale.measure, row)) for row in rows])


def _weigh_means(rule: Rule, pairs: PairedScores, level: float) -> Evidence:
    scale = choose_scale(rule, pairs, mean_of_means(pairs.base), by_case=True)
    before, after = (_measured_means(rows, scale) for rows in (pairs.base, pairs.candidate))
    base = scale.restore(mean(before))
    demand = demand_of(rule, scale, base, level)
    harms = scale.sign * (after - before)
    test = flip_signs(harms)
    bounds = mean_interval(harms, rule.alpha)
    se = float(np.std(harms, ddof=1)) / sqrt(harms.size) if harms.size > 1 else inf
    # Without clusters, cases like these are asked about already: theirs would be the same answer.
    is_other = rule.estimand == "users" or any(case.cluster is not None for case in pairs.cases)
    return Evidence(
        pairs=pairs,
        scale=scale,
        demand=demand,
        base=base,
        candidate=scale.restore(mean(after)),
        harm=mean(harms),
        harm_low=bounds.low,
        harm_high=bounds.high,
        p_value=test.p_value,
        p_plain=test.p_value,
        smallest_p=test.smallest_p,
        false_alarm=rule.alpha if test.smallest_p <= rule.alpha else 0.0,
        smallest_harm=smallest_shift(se, demand) if test.smallest_p <= level else None,
        hits=_find_hits(pairs, harms),
        users=ask_for_users(pairs.cases, harms, rule.alpha) if is_other else None,
    )


def _compare_beyond(pairs: PairedScores, level: float, sign: int) -> ExchangeTest:
    """Test whether more trials lie beyond the pooled quantile, on the side that is harm."""
    if sign > 0:
        return compare_passes(count_within(pairs.base, pairs.candidate, level))
    base, candidate = (
        [[-value for value in row] for row in rows] for rows in (pairs.base, pairs.candidate)
    )
    return compare_passes(count_within(base, candidate, 1 - level))


def _bracket_quantile(rows: Rows, level: float, reach: float) -> Interval:
    """The values at levels this far below and above; infinite beyond the last trial."""
    values = sorted(chain(*rows))
    below = floor((level - reach) * len(values))
    above = ceil((level + reach) * len(values))
    return Interval(
        values[below - 1] if below >= 1 else -inf,
        values[above - 1] if above <= len(values) else inf,
    )


def _weigh_quantile(rule: Rule, pairs: PairedScores, held_to: float) -> Evidence:
    """Test a shift of a quantile exactly; bound it by Woodruff's method.

    The candidate's quantile is bracketed by its own values at levels as far off as the standard error
    of the difference of the shares beyond the quantile (Woodruff 1952).
    """
    level, statistic = LEVELS[rule.stat], statistic_of(rule)
    base, candidate = statistic(pairs.base), statistic(pairs.candidate)
    scale = choose_scale(rule, pairs, base, by_case=False)
    demand = demand_of(rule, scale, base, held_to)
    test = _compare_beyond(pairs, level, scale.sign)
    z = z_of(rule.alpha)
    bounds = _bracket_quantile(pairs.candidate, level, z * test.se)
    low, high = sorted(scale.harm(base, bound) for bound in bounds)
    harm = scale.harm(base, candidate)
    return Evidence(
        pairs=pairs,
        scale=scale,
        demand=demand,
        base=base,
        candidate=candidate,
        harm=harm,
        harm_low=low,
        harm_high=high,
        p_value=test.p_value,
        p_plain=test.plain.p_value,
        smallest_p=test.smallest_p,
        false_alarm=test.false_alarm(rule.alpha),
        smallest_harm=smallest_shift((high - harm) / z, demand),
        hits=_find_hits(pairs, _harms_by_case(pairs, scale)),
    )


def _take_users_answer(rule: Rule, evidence: Evidence) -> Evidence:
    """The same change, judged by what it says of other cases like these."""
    users, demand = evidence.users, evidence.demand
    if users is None:
        return evidence
    p_value, smallest_p = users.test.p_value, users.test.smallest_p
    se = (users.bounds.high - evidence.harm) / z_of(rule.alpha)
    return replace(
        evidence,
        harm_low=users.bounds.low,
        harm_high=users.bounds.high,
        p_value=p_value,
        p_plain=p_value,
        smallest_p=smallest_p,
        is_offset=False,
        false_alarm=rule.alpha if smallest_p <= rule.alpha else 0.0,
        smallest_harm=smallest_shift(se, demand) if smallest_p <= demand.alpha else None,
        design=None,
    )


def weigh_evidence(rule: Rule, pairs: PairedScores, *, level: float | None = None) -> Evidence:
    """Measure a rule that has `max_drop` or `max_rise`.

    `level` is what its p-value is held to, when that is less than its alpha; intervals keep alpha.

    Raises:
        NotComparable: the change cannot be given as a share of the baseline.
    """
    held_to = level or rule.alpha
    if rule.stat in LEVELS:
        return _weigh_quantile(rule, pairs, held_to)
    if rule.stat == "rate" or is_binary(pairs):
        evidence = _weigh_passes(rule, pairs, held_to)
    else:
        evidence = _weigh_means(rule, pairs, held_to)
    return _take_users_answer(rule, evidence) if rule.estimand == "users" else evidence


def take_plain_change(rule: Rule, pairs: PairedScores) -> PlainChange:
    """Compare the bare numbers.

    Raises:
        NotComparable: the change cannot be given as a share of the baseline.
    """
    statistic = statistic_of(rule)
    base, candidate = statistic(pairs.base), statistic(pairs.candidate)
    scale = choose_scale(rule, pairs, base, by_case=False)
    return PlainChange(
        pairs=pairs,
        scale=scale,
        demand=demand_of(rule, scale, base),
        base=base,
        candidate=candidate,
        hits=_find_hits(pairs, _harms_by_case(pairs, scale)),
    )
