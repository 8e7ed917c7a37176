"""Compute confidence intervals that keep their level on as few cases as an eval set has."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, inf, lgamma, log, sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from evalkit.stats.distributions import Floats, t_quantile


class Interval(NamedTuple):
    """Two bounds, each wrong with probability at most `alpha`; infinite if unknown."""

    low: float
    high: float


def effective_trials(cases: Sequence[Sequence[float]]) -> float:
    """Return how many independent 0/1 trials would estimate the mean rate as precisely as these.

    Trials of one case are correlated. The result is rate (1 - rate) over the variance of the mean of the
    cases' own rates, at least the number of cases and at most the number of trials (the design effect of
    Kish 1965). If all trials agree, the correlation is unknown, and the result is the number of cases.
    """
    rates = np.array([np.mean(row) for row in cases])
    rate = float(np.mean(rates))
    variance = float(np.var(rates, ddof=1)) / len(rates) if len(rates) > 1 else 0.0
    trials = sum(len(row) for row in cases)
    # The data do not show the correlation, so assume the largest.
    if variance == 0 or rate in (0.0, 1.0):
        return float(len(rates))
    return min(max(rate * (1 - rate) / variance, len(rates)), trials)


def wilson_interval(rate: float, trials: float, alpha: float) -> Interval:
    """Return the score interval of a rate observed in a number of effective trials (Wilson 1927)."""
    z = -NormalDist().inv_cdf(alpha)
    shrink = 1 + z * z / trials
    center = (rate + z * z / (2 * trials)) / shrink
    half = z / shrink * sqrt(rate * (1 - rate) / trials + z * z / (4 * trials**2))
    return Interval(max(0.0, center - half), min(1.0, center + half))


def mean_interval(values: Floats | Sequence[float], alpha: float) -> Interval:
    """Return Student's interval of the mean of independent values; infinite for one value."""
    size = len(values)
    if size < 2:
        return Interval(-inf, inf)
    half = t_quantile(alpha, size - 1) * float(np.std(values, ddof=1)) / sqrt(size)
    center = float(np.mean(values))
    return Interval(center - half, center + half)


def clustered_interval(values: Floats, groups: Sequence[Sequence[int]], alpha: float) -> Interval:
    """Return Student's interval of the mean of values that are independent only between groups.

    `groups` are the indices of `values`, shape (cases,), by cluster. The variance is that of the
    clusters' summed deviations (Liang and Zeger 1986, with G / (G-1)), with G - 1 degrees of freedom. With
    one value in each cluster the result is `mean_interval`. It is infinite for one cluster.
    """
    if len(groups) < 2:
        return Interval(-inf, inf)
    center = float(np.mean(values))
    sums = np.array([float(np.sum(values[list(group)] - center)) for group in groups])
    variance = len(groups) / (len(groups) - 1) * float(np.sum(sums**2)) / values.size**2
    half = t_quantile(alpha, len(groups) - 1) * sqrt(variance)
    return Interval(center - half, center + half)


def _binomial_pmf(trials: int, chance: float) -> Floats:
    # Use log factorials: the factorial of thousands of trials overflows a float.
    counts = np.arange(trials + 1)
    log_factorial = np.array([lgamma(count + 1) for count in counts])
    ways = log_factorial[-1] - log_factorial - log_factorial[::-1]
    pmf: Floats = np.exp(ways + counts * log(chance) + (trials - counts) * log(1 - chance))
    return pmf


def quantile_interval(cases: Sequence[Sequence[float]], level: float, alpha: float) -> Interval:
    """Return the interval of the `level` quantile of all trials, from ranks (David and Nagaraja 2003).

    The r-th smallest of n values lies above the quantile when fewer than r values lie below it, and that
    number is binomial. Here n is `effective_trials`, and its ranks are scaled to the number of trials. A
    bound is infinite if its rank is out of range.
    """
    values = np.sort(np.concatenate([np.asarray(row, dtype=float) for row in cases]))
    bound = values[ceil(level * values.size) - 1]
    effective = floor(effective_trials([[float(value <= bound) for value in row] for row in cases]))
    fewer = np.concatenate(([0.0], np.cumsum(_binomial_pmf(effective, level))))[: effective + 1]
    lower = int(np.flatnonzero(fewer <= alpha)[-1])
    uppers = np.flatnonzero(1 - fewer <= alpha)
    # Ranks among effective trials, as ranks among all trials.
    scale = values.size / effective
    low = float(values[max(floor(lower * scale), 1) - 1]) if lower else -inf
    if not uppers.size:
        return Interval(low, inf)
    return Interval(low, float(values[min(ceil(int(uppers[0]) * scale), values.size) - 1]))


def trials_for_bounds(level: float, alpha: float) -> int:
    """Return the fewest independent trials whose smallest or largest value bounds the quantile at `alpha`."""
    return ceil(log(alpha) / log(max(level, 1 - level)))
