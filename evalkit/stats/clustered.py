"""Estimate ratios and quantiles of many records that are independent only between users, and compare two.

A record belongs to a user (a cluster) and to a stratum, such as a weekday. Strata are weighted, so that
two periods with different mixes of weekdays can be compared (direct standardization). Each estimate has
the influence of every user on it, so that users on both sides of a comparison are taken into account.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, inf, isfinite, log, sqrt
from statistics import NormalDist

import numpy as np

from evalkit.stats.distributions import Floats, Ints, t_quantile
from evalkit.stats.intervals import Interval, share_interval

MIN_BEYOND_QUANTILE = 10
"""How many users a quantile needs beyond it: with 6 users beyond p99, its interval is meaningless."""
_TINY = 1e-12
_MAX_FREEDOM = 1_000
"""Student's quantile with more degrees of freedom is the normal one."""
_SLOPE_ALPHA = 0.05
_FULL_TRUST_USERS = 2.0
"""With this many informative users, an observed variance counts half (in logarithms)."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Records:
    """Records as arrays of shape (records,), in which records of one user and stratum may be summed up.

    `users` are codes from 0 to `user_count` - 1, the same codes on both sides of a comparison. `strata`
    are codes too. A rate has the number of successes as `values` and of records as `sizes`; a quantile
    needs single records, with their values, and sizes of 1. If records were sampled with probability p,
    both are multiplied by 1/p (for a quantile, the sizes only).
    """

    users: Ints
    strata: Ints
    values: Floats
    sizes: Floats
    user_count: int

    @property
    def active_users(self) -> int:
        """The number of users with records."""
        return int(np.count_nonzero(_sum_by(self.users, self.sizes, self.user_count)))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClusteredEstimate:
    """An estimate with the influence of each user on it, shape (user_count,), which sum up to 0.

    `records` is their (weighted) number. `effective_users` is how many users with equally many records would
    vary as much (Kish 1965). `bounds` returns the interval at an alpha, which each bound has for itself.
    """

    value: float
    influence: Floats
    records: float
    users: int
    effective_users: float
    bounds: Callable[[float], Interval]

    @property
    def standard_error(self) -> float:
        """The standard error by the delta method (Deng et al. 2018)."""
        return sqrt(_variance(self.influence, self.users))


def estimate_ratio(
    records: Records, weights: Floats | None = None, *, is_share: bool
) -> ClusteredEstimate | None:
    """Estimate the sum of the values over the sum of the sizes, by strata if these have weights.

    `weights`, shape (strata,), sum up to 1; each stratum with a weight must have records. The variance is
    that of the users' deviations (delta method, Deng et al. 2018, arXiv 1803.06336; weighted strata as in
    Cochran 1977, 6.11). A share, whose values are counts among the sizes, has the interval of Clopper and
    Pearson at the effective number of records, less for few users (Korn and Graubard 1998). Another ratio
    has Student's, corrected for skewness (Johnson 1978). None if there are no records.
    """
    scaled = _weigh(records, weights)
    if scaled is None:
        return None
    values, sizes, deviations = scaled
    total = float(sizes.sum())
    value = float(values.sum()) / total
    user_sizes = _sum_by(records.users, sizes, records.user_count)
    influence = _sum_by(records.users, deviations, records.user_count) / total
    users = int(np.count_nonzero(user_sizes))
    count = float(records.sizes.sum())
    effective = total**2 / float(np.sum(user_sizes**2))

    def share_bounds(alpha: float) -> Interval:
        if users < 2:
            return Interval(0.0, 1.0)
        trials = _effective_trials(value, influence, users, least=effective, most=count)
        few = -NormalDist().inv_cdf(alpha) / _t_quantile(alpha, influence, users)
        return share_interval(value, trials * few**2, alpha)

    def ratio_bounds(alpha: float) -> Interval:
        return _student_bounds(value, influence, users, alpha)

    return ClusteredEstimate(
        value=value,
        influence=influence,
        records=count,
        users=users,
        effective_users=effective,
        bounds=share_bounds if is_share else ratio_bounds,
    )


def estimate_quantile(
    records: Records, level: float, weights: Floats | None = None
) -> ClusteredEstimate | None:
    """Estimate a quantile of single records with the interval of Woodruff (1952).

    The interval of the share of records up to the quantile, by users, is mapped back through the quantile
    function (Deng et al. 2018, section 4). A bound is infinite if it would lie beyond the records, and both
    are if fewer than `MIN_BEYOND_QUANTILE` users can be expected beyond the quantile. None without records.
    """
    scaled = _weigh(records, weights)
    if scaled is None:
        return None
    order = np.argsort(records.values, kind="stable")
    reached = np.cumsum(scaled[1][order])
    reached /= reached[-1]
    ordered = records.values[order]

    def at(share: float) -> float:
        index = int(np.searchsorted(reached, share - _TINY))
        return float(ordered[min(index, ordered.size - 1)])

    value = at(level)
    below = Records(
        users=records.users,
        strata=records.strata,
        values=records.sizes * (records.values <= value),
        sizes=records.sizes,
        user_count=records.user_count,
    )
    share = estimate_ratio(below, weights, is_share=True)
    if share is None:
        return None

    def bounds(alpha: float) -> Interval:
        if share.users * min(level, 1 - level) < MIN_BEYOND_QUANTILE:
            return Interval(-inf, inf)
        # Centered at the level, not at the share of the value, which ties raise.
        around = share.bounds(alpha)
        low, high = level - (share.value - around.low), level + (around.high - share.value)
        return Interval(
            at(low) if low * ordered.size >= 1 else -inf, at(high) if high < 1 - _TINY else inf
        )

    near = bounds(_SLOPE_ALPHA)
    slope = (near.high - near.low) / (-2 * NormalDist().inv_cdf(_SLOPE_ALPHA))
    error = share.standard_error
    scale = slope / error if isfinite(slope) and error > 0 else 0.0
    return ClusteredEstimate(
        value=value,
        influence=-share.influence * scale,
        records=share.records,
        users=share.users,
        effective_users=share.effective_users,
        bounds=bounds,
    )


def compare_estimates(
    candidate: ClusteredEstimate, base: ClusteredEstimate, alpha: float, *, is_log: bool = False
) -> Interval:
    """Return the interval of candidate minus base, or of the logarithm of candidate over base.

    It is made of both intervals and the correlation of the users' influences (MOVER, Zou and Donner 2008),
    so that it stays correct for rare events, skewed values, and users on both sides.
    """

    def scaled(value: float) -> float:
        if not is_log:
            return value
        return log(value) if value > 0 else -inf

    new, old = scaled(candidate.value), scaled(base.value)
    if not (isfinite(new) and isfinite(old)):
        return Interval(-inf, inf)
    (new_low, new_high), (old_low, old_high) = (
        tuple(map(scaled, each.bounds(alpha))) for each in (candidate, base)
    )
    correlation = correlate(candidate, base)
    below = _combine(new - new_low, old_high - old, correlation)
    above = _combine(new_high - new, old - old_low, correlation)
    return Interval(new - old - below, new - old + above)


def correlate(one: ClusteredEstimate, other: ClusteredEstimate) -> float:
    """Return the correlation (-1..1) of two estimates that have users in common."""
    product = sqrt(float(np.sum(one.influence**2)) * float(np.sum(other.influence**2)))
    shared = float(np.sum(one.influence * other.influence))
    return min(max(shared / product, -1.0), 1.0) if product > _TINY**2 else 0.0


def predict_period(
    value: float, earlier: Floats, alpha: float, *, is_share: bool = False
) -> Interval:
    """Return the interval of the difference between a period and earlier ones that vary among themselves.

    `earlier`, shape (periods,), are the values of at least two equal periods. If nothing changed, a period
    is one more draw from the same distribution, which Student's prediction interval contains, with one
    degree of freedom less than there are earlier periods (Hahn and Meeker 1991, 4.7). The bounds are the
    value minus those. This holds also if the same users are in all periods. Shares between 0 and 1 vary
    more evenly as logits.
    """
    is_logit = is_share and bool(np.all((earlier > 0) & (earlier < 1)))
    known = np.log(earlier / (1 - earlier)) if is_logit else earlier
    center, deviation = float(np.mean(known)), float(np.std(known, ddof=1))
    half = t_quantile(alpha, earlier.size - 1) * deviation * sqrt(1 + 1 / earlier.size)
    ends = [center + half, center - half]
    if is_logit:
        # exp(710) overflows a float.
        ends = [1 / (1 + exp(min(-end, 700.0))) for end in ends]
    return Interval(value - ends[0], value - ends[1])


def find_p_value(is_excluded: Callable[[float], bool]) -> float:
    """Return the smallest alpha at which an interval excludes a value, to 1 % of itself; 1 if none does.

    `is_excluded` says whether the one-sided interval at an alpha below .5 excludes it.
    """
    low, high = 1e-6, 0.499
    if not is_excluded(high):
        return 1.0
    if is_excluded(low):
        return low
    while high / low > 1.01:
        middle = sqrt(low * high)
        low, high = (low, middle) if is_excluded(middle) else (middle, high)
    return high


def _sum_by(codes: Ints, numbers: Floats, count: int) -> Floats:
    return np.bincount(codes, weights=numbers, minlength=count).astype(np.float64)


def _weigh(records: Records, weights: Floats | None) -> tuple[Floats, Floats, Floats] | None:
    """Return values, sizes, and deviations from the ratio of the stratum, by record; None if there are none."""
    if not float(records.sizes.sum()):
        return None
    if weights is None:
        ratio = float(records.values.sum()) / float(records.sizes.sum())
        return records.values, records.sizes, records.values - ratio * records.sizes
    values = _sum_by(records.strata, records.values, weights.size)
    sizes = _sum_by(records.strata, records.sizes, weights.size)
    if np.any((weights > 0) & (sizes <= 0)):
        return None
    safe = np.where(sizes > 0, sizes, 1.0)
    factors = (weights / safe)[records.strata]
    deviations = records.values - (values / safe)[records.strata] * records.sizes
    return records.values * factors, records.sizes * factors, deviations * factors


def _variance(influence: Floats, users: int) -> float:
    return users / (users - 1) * float(np.sum(influence**2)) if users > 1 else inf


def _informative_users(influence: Floats) -> float:
    """Return how many equally influential users would make the variance as uncertain; 0 without variance."""
    squares = influence**2
    fourth = float(np.sum(squares**2))
    return float(np.sum(squares)) ** 2 / fourth if fourth > 0 else 0.0


def _t_quantile(alpha: float, influence: Floats, users: int) -> float:
    """Return Student's quantile with the degrees of freedom of an estimated variance (Satterthwaite 1946).

    The squared coefficient of variation of the variance is 2 / freedom, and estimated from fourth powers.
    """
    informative = _informative_users(influence)
    spread = 1 / informative - 1 / users if informative else 2 / (users - 1)
    freedom = min(2 / spread, users - 1, _MAX_FREEDOM) if spread > 0 else users - 1
    return t_quantile(alpha, max(int(freedom), 1))


def _effective_trials(
    share: float, influence: Floats, users: int, *, least: float, most: float
) -> float:
    """Return how many independent records would estimate a share as precisely (Kish 1965).

    Like `effective_trials` in `evalkit/stats/intervals.py`, it is between the effective number of users, as
    if all records of a user agreed, and the number of records; and it is closer to the least if few users
    deviate, who show the variance badly.
    """
    variance = _variance(influence, users)
    if variance <= _TINY**2:
        return least
    informative = _informative_users(influence)
    gain = max(share * (1 - share) / variance / least, 1.0)
    trust = informative / (informative + _FULL_TRUST_USERS)
    return float(min(least * gain**trust, max(most, least)))


def _student_bounds(value: float, influence: Floats, users: int, alpha: float) -> Interval:
    if users < 2:
        return Interval(-inf, inf)
    error = sqrt(_variance(influence, users))
    if error <= _TINY * max(abs(value), 1.0):
        return Interval(value, value)
    t = _t_quantile(alpha, influence, users)
    skewness = sqrt(users) * float(np.sum((influence / error) ** 3))
    lean = (1 + 2 * t * t) * skewness / (6 * sqrt(users))
    return Interval(value - (t - min(lean, 0.0)) * error, value + (t + max(lean, 0.0)) * error)


def _combine(one: float, other: float, correlation: float) -> float:
    if not (isfinite(one) and isfinite(other)):
        return inf
    return sqrt(max(one**2 + other**2 - 2 * correlation * one * other, 0.0))
