"""Values of a run into intervals that hold their level at the sizes of an eval set."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, cos, floor, inf, lgamma, log, pi, sin, sqrt, tan
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from evalkit.stats.exchange_test import Floats


class Interval(NamedTuple):
    """Two bounds, each missed on its side with probability at most `alpha`; infinite when unknown."""

    low: float
    high: float


def t_quantile(alpha: float, freedom: int) -> float:
    """The quantile of Student's t that is exceeded with probability `alpha` (0 < alpha < .5).

    With t = sqrt(freedom) tan(angle), the probability of |T| <= t is a finite series in cos(angle) for
    whole degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4); solved by bisection.
    """
    odd = freedom % 2
    steps = np.arange(2 + odd, freedom - 1 + odd, 2)
    factors = (steps - 1) / steps

    def within(angle: float) -> float:
        series = 1 + float(np.sum(np.cumprod(factors * cos(angle) ** 2)))
        if not odd:
            return sin(angle) * series
        rest = sin(angle) * cos(angle) * series if freedom > 1 else 0.0
        return 2 / pi * (angle + rest)

    low, high = 0.0, pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle) < 1 - 2 * alpha else (low, middle)
    return sqrt(freedom) * tan(low)


def effective_trials(cases: Sequence[Sequence[float]]) -> float:
    """Independent 0/1 trials that would tell as much about the mean rate as these, by case.

    Trials of one case resemble each other: rate (1 - rate) over the variance of the mean of the cases'
    own rates, kept between the number of cases and the number of trials (the design effect of Kish
    1965). Where all agree nothing can be said of the resemblance, and it is the number of cases.
    """
    rates = np.array([np.mean(row) for row in cases])
    rate = float(np.mean(rates))
    variance = float(np.var(rates, ddof=1)) / len(rates) if len(rates) > 1 else 0.0
    trials = sum(len(row) for row in cases)
    if variance == 0 or rate in (0.0, 1.0):
        return float(len(rates))
    return min(max(rate * (1 - rate) / variance, len(rates)), trials)


def wilson_interval(rate: float, trials: float, alpha: float) -> Interval:
    """Score interval of a rate seen in so many (effective) trials (Wilson 1927)."""
    z = -NormalDist().inv_cdf(alpha)
    shrink = 1 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / shrink
    half = z / shrink * sqrt(rate * (1 - rate) / trials + z * z / (4 * trials**2))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def mean_interval(values: Floats, alpha: float) -> Interval:
    """Student's interval of the mean of independent values, shape (cases,); infinite for one value."""
    if values.size < 2:
        return Interval(-inf, inf)
    half = t_quantile(alpha, values.size - 1) * float(np.std(values, ddof=1)) / sqrt(values.size)
    centre = float(np.mean(values))
    return Interval(centre - half, centre + half)


def clustered_interval(values: Floats, groups: Sequence[Sequence[int]], alpha: float) -> Interval:
    """Student's interval of the mean of values that are independent between groups only.

    `groups` are the indices of `values`, shape (cases,), by cluster. The variance is that of the
    clusters' summed deviations (Liang and Zeger 1986, with G / (G-1)), the freedom G - 1; with one value
    in each cluster it is `mean_interval`. Infinite for one cluster.
    """
    if len(groups) < 2:
        return Interval(-inf, inf)
    centre = float(np.mean(values))
    sums = np.array([float(np.sum(values[list(group)] - centre)) for group in groups])
    variance = len(groups) / (len(groups) - 1) * float(np.sum(sums**2)) / values.size**2
    half = t_quantile(alpha, len(groups) - 1) * sqrt(variance)
    return Interval(centre - half, centre + half)


def _binomial_pmf(trials: int, chance: float) -> Floats:
    counts = np.arange(trials + 1)
    log_factorial = np.array([lgamma(count + 1) for count in counts])
    ways = log_factorial[-1] - log_factorial - log_factorial[::-1]
    law: Floats = np.exp(ways + counts * log(chance) + (trials - counts) * log(1 - chance))
    return law


def quantile_interval(cases: Sequence[Sequence[float]], level: float, alpha: float) -> Interval:
    """Interval of the `level` quantile of all trials, from their order alone (David and Nagaraja 2003).

    The r-th smallest of n values lies above the quantile when fewer than r values lie below it, which
    is binomial. Here n is how many independent trials those by case are worth, and ranks are scaled to
    the trials there are; a bound that would need a rank beyond them is infinite.
    """
    values = np.sort(np.concatenate([np.asarray(row, dtype=float) for row in cases]))
    bound = values[ceil(level * values.size) - 1]
    worth = floor(effective_trials([[float(value <= bound) for value in row] for row in cases]))
    fewer = np.concatenate(([0.0], np.cumsum(_binomial_pmf(worth, level))))[: worth + 1]
    lower = int(np.flatnonzero(fewer <= alpha)[-1])
    uppers = np.flatnonzero(1 - fewer <= alpha)
    scale = values.size / worth
    low = float(values[max(floor(lower * scale), 1) - 1]) if lower else -inf
    if not uppers.size:
        return Interval(low, inf)
    return Interval(low, float(values[min(ceil(int(uppers[0]) * scale), values.size) - 1]))


def trials_for_bounds(level: float, alpha: float) -> int:
    """The fewest independent trials whose smallest and largest value bound the `level` quantile."""
    return ceil(log(alpha) / log(max(level, 1 - level)))
