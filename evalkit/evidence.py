"""Two runs' values of one metric into how much worse it got, how sure that is, and in which cases."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from math import ceil, floor, inf, sqrt

import numpy as np

from evalkit.compare import PairedScores
from evalkit.exchange import PLAIN_GUARD, Floats, PassCounts, compare_passes
from evalkit.intervals import mean_interval
from evalkit.power import Demand, Design, smallest_drop, smallest_shift, z_of
from evalkit.records import Outcome, Rule
from evalkit.samples import mean
from evalkit.scale import LEVELS, Rows, Scale, choose_scale, demand_of, statistic_of
from evalkit.stats import count_within, flip_signs
from evalkit.verdict import CaseHit

_MOST_HITS = 5
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What two runs say on one rule.

    `base` and `candidate` are the statistics compared, in the metric's unit. `harm` is measured on
    `scale`, and each of its bounds is missed with probability at most alpha. `p_value` is one-sided,
    `p_plain` the same without weights, `smallest_p` the least these cases allow. An unchanged agent
    fails with probability `false_alarm` at most; a harm of `smallest_harm` fails 4 times in 5.
    `design` is known for pass rates, where further trials can be planned from it.
    """

    pairs: PairedScores
    scale: Scale
    demand: Demand
    base: float
    candidate: float
    harm: float
    harm_low: float
    harm_high: float
    p_value: float
    p_plain: float
    smallest_p: float
    false_alarm: float
    smallest_harm: float | None
    hits: tuple[CaseHit, ...] = ()
    design: Design | None = None

    @property
    def is_large(self) -> bool:
        """Whether the harm seen is at least what the rule allows."""
        return self.harm >= self.demand.max_drop - _ROUNDING

    @property
    def leans(self) -> bool:
        """Whether the plain test points to harm, proven or not."""
        return self.p_plain <= PLAIN_GUARD

    @property
    def is_ruled_out(self) -> bool:
        """Whether more harm than the rule tolerates is ruled out."""
        return self.harm_high < self.demand.tolerated


def judge_evidence(evidence: Evidence) -> Outcome:
    """Fail harm that is large and proven, pass where it is ruled out, else say that it is neither.

    Harm that is large and leans towards being real never passes. As both of these can only become
    truer when a candidate's pass is turned into a failure, no further failure turns fail into pass.
    """
    suspected = evidence.is_large and evidence.leans
    if suspected and evidence.p_value <= evidence.demand.alpha:
        return "fail"
    return "pass" if evidence.is_ruled_out and not suspected else "inconclusive"


def weigh_evidence(rule: Rule, pairs: PairedScores) -> Evidence:
    """Measure a rule that has `max_drop` or `max_rise`.

    Raises:
        NotComparable: the change cannot be given as a share of the baseline.
    """
    if rule.stat in LEVELS:
        return _weigh_quantile(rule, pairs)
    if rule.stat == "rate" or is_binary(pairs):
        return _weigh_passes(rule, pairs)
    return _weigh_means(rule, pairs)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlainChange:
    """The bare numbers that a rule with `test: point` compares, in the metric's unit."""

    pairs: PairedScores
    scale: Scale
    demand: Demand
    base: float
    candidate: float
    hits: tuple[CaseHit, ...]

    @property
    def harm(self) -> float:
        """How much worse the candidate's number is."""
        return self.scale.sign * (
            self.scale.measure(self.candidate) - self.scale.measure(self.base)
        )

    @property
    def outcome(self) -> Outcome:
        """Fail when it is worse by more than is allowed."""
        return "fail" if self.harm > self.demand.max_drop + _ROUNDING else "pass"


def take_plain_change(rule: Rule, pairs: PairedScores) -> PlainChange:
    """Compare the bare numbers.

    Raises:
        NotComparable: the change cannot be given as a share of the baseline.
    """
    statistic = statistic_of(rule)
    base, candidate = statistic(pairs.base), statistic(pairs.candidate)
    scale = choose_scale(rule, pairs, base, by_case=False)
    before, after = (
        np.array([mean(row) for row in rows]) for rows in (pairs.base, pairs.candidate)
    )
    return PlainChange(
        pairs=pairs,
        scale=scale,
        demand=demand_of(rule, scale),
        base=base,
        candidate=candidate,
        hits=_find_hits(pairs, scale.sign * (after - before)),
    )


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


def _weigh_passes(rule: Rule, pairs: PairedScores) -> Evidence:
    scale = Scale(sign=-1 if rule.max_drop is not None else 1)
    demand = demand_of(rule, scale)
    counts = count_passes(pairs)
    good = counts if scale.sign < 0 else counts.inverted()
    test = compare_passes(good)
    reach = z_of(rule.alpha) * test.se
    rates = good.base_passed / good.base_trials
    design = Design(
        cases=len(pairs.cases),
        base_trials=1 / float(np.mean(1 / good.base_trials)),
        trials=1 / float(np.mean(1 / good.trials)),
        mean=float(np.mean(rates)),
        noise=test.noise,
    )
    return Evidence(
        pairs=pairs,
        scale=scale,
        demand=demand,
        base=mean(map(mean, pairs.base)),
        candidate=mean(map(mean, pairs.candidate)),
        harm=-test.delta,
        harm_low=-test.delta - reach,
        harm_high=-test.delta + reach,
        p_value=test.p_value,
        p_plain=test.p_plain,
        smallest_p=test.law.smallest_mid_p,
        false_alarm=test.false_alarm(rule.alpha),
        smallest_harm=smallest_drop(design, demand),
        hits=_find_hits(pairs, rates - good.passed / good.trials),
        design=design,
    )


def _measured_means(rows: Rows, scale: Scale) -> Floats:
    return np.array([mean(map(scale.measure, row)) for row in rows])


def _weigh_means(rule: Rule, pairs: PairedScores) -> Evidence:
    scale = choose_scale(rule, pairs, mean(map(mean, pairs.base)), by_case=True)
    demand = demand_of(rule, scale)
    before, after = (_measured_means(rows, scale) for rows in (pairs.base, pairs.candidate))
    harms = scale.sign * (after - before)
    test = flip_signs(harms)
    bounds = mean_interval(harms, rule.alpha)
    se = float(np.std(harms, ddof=1)) / sqrt(harms.size) if harms.size > 1 else inf
    return Evidence(
        pairs=pairs,
        scale=scale,
        demand=demand,
        base=scale.restore(mean(before)),
        candidate=scale.restore(mean(after)),
        harm=mean(harms),
        harm_low=bounds.low,
        harm_high=bounds.high,
        p_value=test.p_value,
        p_plain=test.p_value,
        smallest_p=test.smallest_p,
        false_alarm=rule.alpha if test.smallest_p <= rule.alpha else 0.0,
        smallest_harm=smallest_shift(se, demand) if test.smallest_p <= rule.alpha else None,
        hits=_find_hits(pairs, harms),
    )


def _weigh_quantile(rule: Rule, pairs: PairedScores) -> Evidence:
    """Test exactly whether more trials lie beyond the pooled quantile; bound it by Woodruff's method.

    The candidate's quantile is bracketed by its own values at levels as far off as the standard error
    of the difference of the shares beyond (Woodruff 1952); out of reach of its trials, a bound is
    infinite.
    """
    level = LEVELS[rule.stat]
    statistic = statistic_of(rule)
    base, candidate = statistic(pairs.base), statistic(pairs.candidate)
    scale = choose_scale(rule, pairs, base, by_case=False)
    demand = demand_of(rule, scale)
    if scale.sign > 0:
        test = compare_passes(count_within(pairs.base, pairs.candidate, level))
    else:
        base_mirrored, mirrored = (
            [[-value for value in row] for row in rows] for rows in (pairs.base, pairs.candidate)
        )
        test = compare_passes(count_within(base_mirrored, mirrored, 1 - level))
    reach = z_of(rule.alpha) * test.se
    values = sorted(chain(*pairs.candidate))

    def harm_of(value: float) -> float:
        return scale.sign * (scale.measure(value) - scale.measure(base))

    below, above = floor((level - reach) * len(values)), ceil((level + reach) * len(values))
    low = harm_of(values[below - 1]) if below >= 1 else -scale.sign * inf
    high = harm_of(values[above - 1]) if above <= len(values) else scale.sign * inf
    harm, (harm_low, harm_high) = harm_of(candidate), sorted((low, high))
    se = (harm_high - harm) / z_of(rule.alpha)
    before, after = (_measured_means(rows, scale) for rows in (pairs.base, pairs.candidate))
    return Evidence(
        pairs=pairs,
        scale=scale,
        demand=demand,
        base=base,
        candidate=candidate,
        harm=harm,
        harm_low=harm_low,
        harm_high=harm_high,
        p_value=test.p_value,
        p_plain=test.p_plain,
        smallest_p=test.law.smallest_mid_p,
        false_alarm=test.false_alarm(rule.alpha),
        smallest_harm=smallest_shift(se, demand),
        hits=_find_hits(pairs, scale.sign * (after - before)),
    )


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
