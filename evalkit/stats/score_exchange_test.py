"""Test the mean change of graded scores by exchanging the trials of each case between both runs."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, frexp, ldexp, remainder, sqrt

import numpy as np

from evalkit.stats.distributions import Floats, IntegerDistribution, Ints

MAX_STEPS = 2**15
"""The largest sum of all cases, in steps of the lattice. At 200 cases with 11 trials each, rounding to the
lattice moves the sum by .6 % of its standard error, and a p-value of .05 by .001."""
_ROUNDING = 1e-9
"""Scores that differ by less than this share of the largest difference differ by rounding only."""
_MAX_OFF_LATTICE = 1e-6
"""The most that a score may miss a lattice that has all scores, in steps."""
_DIRECT_PRODUCTS = 1 << 18
"""Up to this many products, a direct convolution is faster than one by Fourier transform."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreExchangeTest:
    """The result of the exact test of whether graded scores got worse.

    `noise` is the mean over cases of the variance of one trial, and `se` the standard error of the mean
    change, both estimated from the trials of both runs and unbiased if nothing changed. `freedom` are the
    degrees of freedom of `se` (Satterthwaite 1946).
    """

    null_distribution: IntegerDistribution
    p_value: float
    noise: float
    se: float
    freedom: float

    @property
    def smallest_p(self) -> float:
        """The smallest possible p-value, given the scores of each case."""
        return self.null_distribution.smallest_mid_p

    def false_alarm(self, alpha: float) -> float:
        """Return the exact probability that an unchanged agent has a p-value of at most `alpha`."""
        return self.null_distribution.rejection_rate(alpha)


def run_score_exchange_test(
    base: Sequence[Floats], candidate: Sequence[Floats]
) -> ScoreExchangeTest:
    """Test whether the candidate's mean harm is larger; larger values are worse.

    `base[i]` and `candidate[i]` are the trials of case i, at least one each. If nothing changed, every
    division of a case's trials between both runs is equally likely (Pitman 1937). The statistic is the
    mean over cases of the difference of the means, and its distribution is the convolution of the cases'
    own. The p-value is a mid-p. It is exact for scores rounded to a lattice, and needs no random draws.
    Both runs swapped give 1 - p. Raising one score of the candidate raises the statistic by at least as
    much as its value in any other division, so it never raises p, apart from rounding to the lattice.
    """
    pooled = [np.concatenate(rows) for rows in zip(base, candidate, strict=True)]
    sizes = np.array([row.size for row in candidate])
    per_trial = np.array([1 / row.size for row in base]) + 1 / sizes
    # A sum of candidate scores, each times (1/K + 1/m), differs from the statistic by a constant.
    weighed = [
        (row - row.min()) * factor for row, factor in zip(pooled, per_trial.tolist(), strict=True)
    ]
    step = _choose_step(weighed)
    rows = [
        np.rint(row / step).astype(np.int64) if step else np.zeros_like(row, dtype=np.int64)
        for row in weighed
    ]
    observed = sum(int(row[-size:].sum()) for row, size in zip(rows, sizes.tolist(), strict=True))
    distribution = _convolve(
        [_sum_mass(row, size) for row, size in zip(rows, sizes.tolist(), strict=True) if row.any()]
    )
    variances = np.array([float(np.var(row, ddof=1)) for row in pooled])
    parts = variances * per_trial
    total = float(parts.sum())
    # Shares of the total, because squares of tiny variances would be 0.
    shares = parts / total if total else parts
    squares = shares**2 / np.array([row.size - 1 for row in pooled])
    return ScoreExchangeTest(
        null_distribution=distribution,
        p_value=distribution.mid_p(observed),
        noise=float(variances.mean()),
        se=sqrt(total) / len(pooled),
        freedom=1.0 / float(squares.sum()) if total else 1.0,
    )


def _choose_step(rows: Sequence[Floats]) -> float:
    """Return the step of the lattice; 0 if the scores of no case differ.

    The lattice depends on the scores alone and not on their run, so the test stays exact. If all scores
    are multiples of one step, such as tenths, nothing is rounded, and equal sums stay equal.
    """
    values = np.unique(np.concatenate(rows))
    largest = float(values[-1])
    if largest <= 0:
        return 0.0
    total = sum(float(row.max()) for row in rows)
    step = 0.0
    for value in values.tolist():
        step = _find_common_step(step, value, _ROUNDING * largest)
        if step and total / step > MAX_STEPS:
            break
    else:
        off = np.abs(values / step - np.rint(values / step))
        if float(off.max()) <= _MAX_OFF_LATTICE:
            return step
    # A power of two, so that a small change of a score seldom changes the lattice.
    return ldexp(1.0, frexp(total / MAX_STEPS)[1])


def _find_common_step(one: float, other: float, rounding: float) -> float:
    """Return the largest number of which both are multiples, apart from `rounding`, by Euclid's algorithm."""
    while other > rounding:
        one, other = other, abs(remainder(one, other))
    return one


def _sum_mass(steps: Ints, size: int) -> Floats:
    """Return the distribution of the sum of `size` of these steps, all choices equally likely."""
    total, picked = int(steps.sum()), min(size, steps.size - size)
    # Choose the smaller run: the sum of the other is the rest of the total.
    ordered = np.sort(steps)
    least, most = int(ordered[:picked].sum()), int(ordered[-picked:].sum())
    if picked == 1:
        ways = np.bincount(steps)
    else:
        by_count = np.zeros((picked + 1, most + 1))
        by_count[0, 0] = 1.0
        for step in steps.tolist():
            by_count[1:, step:] += by_count[:-1, : most + 1 - step].copy()
        ways = by_count[picked]
    mass: Floats = ways / comb(steps.size, picked)
    if picked == size:
        return mass
    return np.concatenate((np.zeros(total - most), mass[least:][::-1]))


def _convolve(masses: Sequence[Floats]) -> IntegerDistribution:
    """Return the distribution of the sum of independent variables, exact to about 1e-13."""
    if not masses:
        return IntegerDistribution(lowest=0, mass=np.ones(1))
    # Join the two shortest first, which needs the fewest products. The number breaks ties.
    heap = [(mass.size, number, mass) for number, mass in enumerate(masses)]
    heapq.heapify(heap)
    while len(heap) > 1:
        _, _, one = heapq.heappop(heap)
        _, number, other = heap[0]
        joined = _convolve_pair(one, other)
        heapq.heapreplace(heap, (joined.size, number, joined))
    total = heap[0][2]
    # Rounding errors of the transforms would hide the probability of the worst result.
    total[-1] = np.prod([mass[-1] for mass in masses])
    return IntegerDistribution(lowest=0, mass=total)


def _convolve_pair(one: Floats, other: Floats) -> Floats:
    size = one.size + other.size - 1
    if one.size * other.size <= _DIRECT_PRODUCTS:
        return np.convolve(one, other)
    length = 1 << (size - 1).bit_length()
    joined: Floats = np.fft.irfft(np.fft.rfft(one, length) * np.fft.rfft(other, length), length)
    return joined[:size].clip(min=0.0)
