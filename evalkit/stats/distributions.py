"""Define the array types and the distributions that several tests and intervals share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from math import comb, cos, exp, inf, lgamma, log, log1p, pi, sin, sqrt, tan
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]

_MAX_FRACTION_TERMS = 10_000
"""About sqrt(a + b) terms are needed."""
_BETA_PRECISION = 1e-13


@dataclass(frozen=True, kw_only=True, eq=False)
class IntegerDistribution:
    """The distribution of an integer: `mass[i]` is the probability of `lowest + i`."""

    lowest: int
    mass: Floats

    @cached_property
    def tail(self) -> Floats:
        """P(X >= lowest + i), for every i."""
        return np.cumsum(self.mass[::-1])[::-1]

    def mid_p(self, observed: int) -> float:
        """Return P(X > observed) + P(X = observed) / 2 (Lancaster 1961)."""
        index = observed - self.lowest
        return float(min(1.0, max(0.0, self.tail[index] - self.mass[index] / 2)))

    @property
    def smallest_mid_p(self) -> float:
        """The mid-p of the largest possible value."""
        return float(self.mass[-1] / 2)

    def rejection_rate(self, level: float) -> float:
        """Return the exact probability that the mid-p is at most `level`."""
        found = self.tail[self.tail - self.mass / 2 <= level]
        return float(found[0]) if found.size else 0.0


@cache
def exchange_pmf(base_trials: int, trials: int) -> Floats:
    """Return the distribution of the candidate's passes given the total passes, if nothing changed.

    The shape is (base_trials + trials + 1, trials + 1): row s, column c holds the hypergeometric
    C(m, s-c) C(K, c) / C(m+K, s), zero if c is impossible.
    """
    pmf = np.zeros((base_trials + trials + 1, trials + 1))
    for s in range(base_trials + trials + 1):
        for c in range(max(0, s - base_trials), min(trials, s) + 1):
            pmf[s, c] = comb(base_trials, s - c) * comb(trials, c) / comb(base_trials + trials, s)
    return pmf


@cache
def t_quantile(alpha: float, freedom: int) -> float:
    """Return the quantile of Student's t that is exceeded with probability `alpha` (0 < alpha < .5).

    With t = sqrt(freedom) tan(angle), the probability of |T| <= t is a finite series in cos(angle) for
    whole degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4). It is solved by bisection.
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
    # Sixty halvings exhaust the precision of a float.
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle) < 1 - 2 * alpha else (low, middle)
    return sqrt(freedom) * tan(low)


def _beta_below(x: float, a: float, b: float) -> float:
    """Return the probability that a Beta(a, b) variable is at most x, best for x below its mean.

    The continued fraction (DLMF 8.17.22) is evaluated by the method of Lentz (1976).
    """
    if x <= 0:
        return 0.0
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    tiny = 1e-300
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or tiny)
    fraction = d
    for k in range(1, _MAX_FRACTION_TERMS):
        for term in (
            k * (b - k) * x / ((a + 2 * k - 1) * (a + 2 * k)),
            -(a + k) * (a + b + k) * x / ((a + 2 * k) * (a + 2 * k + 1)),
        ):
            d = 1 / (1 + term * d or tiny)
            c = 1 + term / c or tiny
            fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * fraction / a


def beta_quantile(level: float, a: float, b: float) -> float:
    """Return the `level` quantile of the Beta distribution (a, b > 0), by bisection.

    From a point between the bounds, Newton's step takes the place of the middle, where it stays between.
    """
    low, high = 0.0, 1.0
    scale = lgamma(a + b) - lgamma(a) - lgamma(b)
    point = a / (a + b)
    for _ in range(60):
        # The fraction converges fast on one side of this point, and the other side follows by symmetry.
        if point < (a + 1) / (a + b + 2):
            below = _beta_below(point, a, b)
        else:
            below = 1 - _beta_below(1 - point, b, a)
        low, high = (low, point) if below > level else (point, high)
        if high - low <= _BETA_PRECISION * point:
            break
        density = exp(scale + (a - 1) * log(point) + (b - 1) * log1p(-point))
        step = (below - level) / density if density > 0 else inf
        if abs(step) <= _BETA_PRECISION * point:
            return point - step
        point = point - step if low < point - step < high else (low + high) / 2
    return point
