"""Compute confidence intervals that keep their level on as few cases as an eval set has."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, inf, lgamma, log, sqrt
from statistics import NormalDist
from typing import NamedTuple, TypeAlias

import numpy as np

from evalkit.stats.distributions import Floats, beta_quantile, t_quantile

_ROUNDING = 1e-12
"""Squared deviations below this come from rounding."""
_LEAST_TRIALS = 1e-6
"""Fewer effective passes or failures than this come from rounding."""


class Interval(NamedTuple):
    """Two bounds, each wrong with probability at most `alpha`; infinite if unknown."""

    low: float
    high: float


Groups: TypeAlias = Sequence[Sequence[int]]
"""The indices of the cases of each cluster; a case without a cluster is alone."""

_FULL_TRUST_CLUSTERS = 2.0
"""With this many effective clusters, an observed variance counts half (in logarithms)."""
MAX_EFFECTIVE_TRIALS = 1e6
"""Scores that hardly differ do not count for more."""


def effective_trials(rates: Floats, groups: Groups, most: float = MAX_EFFECTIVE_TRIALS) -> float:
    """Return how many independent 0/1 trials would estimate the mean of shares as precisely as these.

    `rates`, shape (cases,), are the mean shares of the cases, each from 0 to 1, which are independent only
    between groups of indices. The result is rate (1 - rate) over the variance of the mean, the sum of the
    squared deviations of the clusters (Kish 1965; Liang and Zeger 1986).

    It is at least the number of clusters, n**2 / sum of n_g**2 if they differ in size, as if all trials of
    a cluster agreed, and at most `most`. Few deviating clusters show their variance badly: one failure
    among clusters that always pass would make all trials count as independent. The gain over the least
    is therefore raised to the power f / (f + 2), with f = (sum d**2)**2 / sum d**4 times the least squared
    over the clusters squared, the number of clusters that the variance is estimated from. With f = 0, when
    all clusters agree, the least remains.
    """
    rate = float(np.mean(rates))
    sizes = np.array([len(group) for group in groups])
    least = rates.size**2 / float(np.sum(sizes**2))
    sums = np.array([float(np.sum(rates[list(group)] - rate)) for group in groups])
    squares = sums**2
    total = float(squares.sum())
    # Rounding leaves tiny deviations of equal shares.
    if total <= _ROUNDING * rates.size or len(groups) < 2:
        return least
    variance = len(groups) / (len(groups) - 1) * total / rates.size**2
    gain = max(rate * (1 - rate) / variance / least, 1.0)
    informative = total**2 / float(np.sum(squares**2)) * (least / len(groups)) ** 2
    trust = informative / (informative + _FULL_TRUST_CLUSTERS)
    return float(min(least * gain**trust, max(most, least)))


def share_interval(rate: float, trials: float, alpha: float) -> Interval:
    """Return the exact interval of a share observed in a number of effective trials.

    The bounds are those of Clopper and Pearson (1934), at effective trials that need not be whole numbers
    (Korn and Graubard 1998). For independent 0/1 trials each is wrong with probability at most `alpha`.
    """
    passed, failed = rate * trials, (1 - rate) * trials
    low = beta_quantile(alpha, passed, failed + 1) if passed > _LEAST_TRIALS else 0.0
    high = beta_quantile(1 - alpha, passed + 1, failed) if failed > _LEAST_TRIALS else 1.0
    return Interval(low, high)


def wilson_interval(rate: float, trials: float, alpha: float) -> Interval:
    """Return the score interval of a rate observed in a number of effective trials (Wilson 1927)."""
    z = -NormalDist().inv_cdf(alpha)
    shrink = 1 + z * z / trials
    center = (rate + z * z / (2 * trials)) / shrink
    half = z / shrink * sqrt(rate * (1 - rate) / trials + z * z / (4 * trials**2))
    return Interval(max(0.0, center - half), min(1.0, center + half))


def mean_interval(values: Floats, groups: Groups, alpha: float) -> Interval:
    """Return an interval of the mean of values that are independent only between groups.

    The variance is that of the clusters' summed deviations (Liang and Zeger 1986, with G / (G-1)), and the
    quantile t is Student's with G - 1 degrees of freedom. Student's interval is too short on the side of a
    long tail, so there it reaches (1 + 2 t**2) |g| / (6 sqrt(G)) standard errors farther, with g the
    skewness of the sums (Johnson 1978). Without skewness the interval is Student's. It is infinite for one
    cluster.
    """
    clusters = len(groups)
    if clusters < 2:
        return Interval(-inf, inf)
    center = float(np.mean(values))
    sums = np.array([float(np.sum(values[list(group)] - center)) for group in groups])
    deviation = sqrt(float(np.sum(sums**2)) / (clusters - 1))
    if deviation == 0:
        return Interval(center, center)
    se = sqrt(clusters) * deviation / values.size
    t = t_quantile(alpha, clusters - 1)
    skewness = float(np.mean((sums / deviation) ** 3))
    lean = (1 + 2 * t * t) * skewness / (6 * sqrt(clusters))
    return Interval(center - (t - min(lean, 0.0)) * se, center + (t + max(lean, 0.0)) * se)


def _binomial_pmf(trials: int, chance: float) -> Floats:
    # Use log factorials: the factorial of thousands of trials overflows a float.
    counts = np.arange(trials + 1)
    log_factorial = np.array([lgamma(count + 1) for count in counts])
    ways = log_factorial[-1] - log_factorial - log_factorial[::-1]
    pmf: Floats = np.exp(ways + counts * log(chance) + (trials - counts) * log(1 - chance))
    return pmf


def quantile_interval(
    cases: Sequence[Sequence[float]], groups: Groups, level: float, alpha: float
) -> Interval:
    """Return the interval of the `level` quantile of all trials, from ranks (David and Nagaraja 2003).

    The r-th smallest of n values lies above the quantile when fewer than r values lie below it, and that
    number is binomial. Here n is `effective_trials`, and its ranks are scaled to the number of trials. A
    bound is infinite if its rank is out of range.
    """
    rows = [np.asarray(row, dtype=float) for row in cases]
    values = np.sort(np.concatenate(rows))
    bound = values[ceil(level * values.size) - 1]
    shares = np.array([float(np.mean(row <= bound)) for row in rows])
    effective = max(floor(effective_trials(shares, groups, values.size)), 1)
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
