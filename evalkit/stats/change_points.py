"""Find the steps at which a series changed its level. For display: it makes no decision."""

from __future__ import annotations

from math import log

import numpy as np

from evalkit.stats.distributions import Floats

MIN_SEGMENT = 2
"""A single step is an outlier, not a level."""
MIN_STEPS = 6
_PENALTY = 3.0
_FAR = 3.0
"""Standard errors beyond its neighbors from which a value is an outlier."""
_MAD = 1.4826
"""The standard deviation of normal values over their median absolute deviation."""


def find_change_points(
    values: Floats, errors: Floats, *, period: int = 0, series: int = 1
) -> list[int]:
    """Return the indices at which a new level begins, in order.

    The levels minimize the squared deviations, each over its variance, plus a penalty for each change
    (optimal partitioning, Jackson et al. 2005; the result of PELT, Killick et al. 2012). The penalty is
    3 ln(n) + 2 ln(series), because more series have more false alarms. Variances are `errors` squared,
    raised together if neighbors differ by more than these say (overdispersion, by the median of the
    standardized differences).

    Args:
        values: shape (n,), at equal distances.
        errors: standard errors, shape (n,), positive.
        period: the steps after which a pattern repeats, such as 7 days; its typical deviations are removed
            first, if the series has at least two periods.
        series: how many series are searched together.
    """
    count = values.size
    if count < MIN_STEPS:
        return []
    level = values - _seasonal(values, period) if 1 < period <= count / 2 else values
    jumps = np.abs(np.diff(level)) / np.sqrt(errors[1:] ** 2 + errors[:-1] ** 2)
    inflation = max(1.0, _MAD * float(np.median(jumps)))
    spread = errors * inflation
    weights = 1 / spread**2
    return _partition(_cut_spikes(level, spread), weights, _PENALTY * log(count) + 2 * log(series))


def _cut_spikes(values: Floats, spread: Floats) -> Floats:
    """Return the series with each single value far beyond both of its neighbors moved to the nearer one."""
    before, after = np.roll(values, 1), np.roll(values, -1)
    before[0], after[-1] = values[1], values[-2]
    low, high = np.minimum(before, after), np.maximum(before, after)
    far = _FAR * spread
    cut = np.where(values > high + far, high, values)
    return np.where(values < low - far, low, cut)


def _seasonal(values: Floats, period: int) -> Floats:
    """Return the typical deviation of each place in the period from the mean of a period around it."""
    count = values.size
    sums = np.concatenate([[0.0], np.cumsum(values)])
    start = np.clip(np.arange(count) - period // 2, 0, count - period)
    around = (sums[start + period] - sums[start]) / period
    places = np.arange(count) % period
    typical = np.array([np.median((values - around)[places == place]) for place in range(period)])
    pattern: Floats = (typical - typical.mean())[places]
    return pattern


def _partition(values: Floats, weights: Floats, penalty: float) -> list[int]:
    count = values.size
    weight, first, second = (
        np.concatenate([[0.0], np.cumsum(each)])
        for each in (weights, weights * values, weights * values**2)
    )
    best = np.full(count + 1, np.inf)
    best[0] = -penalty
    previous = np.zeros(count + 1, dtype=np.int64)
    for end in range(MIN_SEGMENT, count + 1):
        starts = np.arange(0, end - MIN_SEGMENT + 1)
        mass = weight[end] - weight[starts]
        total = first[end] - first[starts]
        costs = best[starts] + second[end] - second[starts] - total**2 / mass + penalty
        chosen = int(np.argmin(costs))
        best[end], previous[end] = costs[chosen], starts[chosen]
    found = []
    end = count
    while (end := int(previous[end])) > 0:
        found.append(end)
    return found[::-1]
