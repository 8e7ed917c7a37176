"""The exact exchange test: passes of two runs on the same cases, turned into a p-value for a drop.

If nothing changed, the trials of a case are exchangeable between the runs, so that its candidate
passes, given its passes in all, are hypergeometric, whatever the case's own pass rate is (Fisher's
conditioning, case by case). A sum over cases of any function of a case's counts then has a known law,
and its tail is an exact p-value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from math import comb, sqrt
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from evalkit.statistics.power import LEANING

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Weigh: TypeAlias = Callable[[int, int], Ints]
"""Weights of every outcome of a case, by its baseline and candidate trials."""

PRIOR = 0.2
"""Beta(.2, .2) of a case's pass rate: most cases are nearly always right or nearly always wrong.
Chosen, like the three below, on recorded trials of 82 systems; they move power, never the size."""
WORSENED = 0.9
"""The moderate drop the weights look for: every pass rate times this."""
BROKEN_SHARE = 0.05
"""The share of cases taken to be broken outright in the alternative the weights look for."""
RESOLUTION = 24
"""Weights are log likelihood ratios in steps of 1/24, so that their sum lies on a lattice."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PassCounts:
    """Passes of baseline and candidate, case by case: four arrays of shape (cases,), trials >= 1."""

    base_passed: Ints
    base_trials: Ints
    passed: Ints
    trials: Ints

    def inverted(self) -> PassCounts:
        """Count failures instead, which turns a test for a drop into one for a rise."""
        return PassCounts(
            base_passed=self.base_trials - self.base_passed,
            base_trials=self.base_trials,
            passed=self.trials - self.passed,
            trials=self.trials,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class LatticeLaw:
    """The law of an integer: `mass[i]` is the probability of `lowest + i`."""

    lowest: int
    mass: Floats

    @cached_property
    def tail(self) -> Floats:
        """P(X >= lowest + i), for every i."""
        return np.cumsum(self.mass[::-1])[::-1]

    def mid_p(self, observed: int) -> float:
        """P(X > observed) + P(X = observed) / 2 (Lancaster 1961)."""
        at = observed - self.lowest
        return float(min(1.0, max(0.0, self.tail[at] - self.mass[at] / 2)))

    @property
    def smallest_mid_p(self) -> float:
        """The mid-p of the most extreme value there is."""
        return float(self.mass[-1] / 2)

    def size(self, level: float) -> float:
        """How often, exactly, the mid-p is at most `level`."""
        found = self.tail[self.tail - self.mass / 2 <= level]
        return float(found[0]) if found.size else 0.0


@cache
def exchange_law(base_trials: int, trials: int) -> Floats:
    """Law of the candidate's passes given the passes in all, when nothing changed.

    Returns shape (base_trials + trials + 1, trials + 1): row s, column c holds the hypergeometric
    C(m, s-c) C(K, c) / C(m+K, s), zero where c cannot be.
    """
    law = np.zeros((base_trials + trials + 1, trials + 1))
    for s in range(base_trials + trials + 1):
        for c in range(max(0, s - base_trials), min(trials, s) + 1):
            law[s, c] = comb(base_trials, s - c) * comb(trials, c) / comb(base_trials + trials, s)
    return law


def _worsened_law(base_trials: int, trials: int) -> Floats:
    """Law of the candidate's passes given the passes in all, when pass rates fell by a tenth.

    Proportional to the integral over p of Beta(.2,.2)(p) Bin(s-c; m, p) Bin(c; K, .9p). With
    1 - .9p = (1-p) + .1p, its power expands into positive terms, each a Beta function of s + j only.
    """
    m, k = base_trials, trials
    rising = np.concatenate(([0.0], np.cumsum(np.log(PRIOR + np.arange(m + k)))))
    log_beta = rising + rising[::-1]
    beta = np.exp(log_beta - log_beta.max())
    law = np.zeros((m + k + 1, k + 1))
    for c in range(k + 1):
        s = np.arange(c, c + m + 1)
        spread = sum(comb(k - c, j) * (1 - WORSENED) ** j * beta[s + j] for j in range(k - c + 1))
        ways = np.array([comb(m, passes) * comb(k, c) for passes in range(m + 1)], dtype=float)
        law[s, c] = ways * WORSENED**c * spread
    law /= law.sum(axis=1, keepdims=True)
    return law


@cache
def drop_weights(base_trials: int, trials: int) -> Ints:
    """How much each outcome of a case speaks for a drop, in 1/24 of a natural log unit.

    Returns shape (base_trials + trials + 1, trials + 1), indexed like `exchange_law`; zero where the
    outcome cannot be. A failure of a case that never failed before weighs most.
    """
    law = exchange_law(base_trials, trials)
    possible = law > 0
    broken = np.array(law)
    broken[: base_trials + 1] = 0.0
    broken[: base_trials + 1, 0] = 1.0
    mixture = (1 - BROKEN_SHARE) * _worsened_law(base_trials, trials) + BROKEN_SHARE * broken
    ratio = np.divide(mixture, law, out=np.ones_like(law), where=possible)
    weights: Ints = np.rint(RESOLUTION * np.log(ratio)).astype(np.int64)
    return weights


@cache
def plain_weights(base_trials: int, trials: int) -> Ints:
    """Every candidate failure alike: minus the candidate's passes, indexed like `exchange_law`."""
    row = -np.arange(trials + 1, dtype=np.int64)
    return np.tile(row, (base_trials + trials + 1, 1))


def law_of_sum(designs: Ints, weigh: Weigh) -> LatticeLaw:
    """Law of the summed weights over cases when nothing changed, exact to about 1e-13.

    `designs` has shape (cases, 3): baseline trials, candidate trials, passes in all. Cases of one
    design share a law, whose transform is raised to their number and multiplied in.
    """
    groups, repeats = np.unique(designs, axis=0, return_counts=True)
    lowest, span = 0, 0
    masses = []
    for (m, k, s), cases in zip(groups.tolist(), repeats.tolist(), strict=True):
        law = exchange_law(m, k)[s]
        possible = np.flatnonzero(law)
        values = weigh(m, k)[s, possible]
        lowest += cases * int(values.min())
        span += cases * int(np.ptp(values))
        masses.append((np.bincount(values - values.min(), weights=law[possible]), cases))
    length = 1 << span.bit_length()
    spectrum = np.ones(length // 2 + 1, dtype=complex)
    for mass, cases in masses:
        spectrum *= np.fft.rfft(mass, length) ** cases
    return LatticeLaw(lowest=lowest, mass=np.fft.irfft(spectrum, length)[: span + 1].clip(min=0.0))


def estimate_noise(counts: PassCounts) -> float:
    """The mean over cases of p(1-p), the variance of one trial, unbiased when nothing changed.

    Per case (m+K)/(m+K-1) q(1-q) with q the share of passes in both runs; at least .25/n, because n
    cases that never disagreed do not prove that none ever will.
    """
    total = counts.base_trials + counts.trials
    rate = (counts.base_passed + counts.passed) / total
    variance = total / (total - 1) * rate * (1 - rate)
    return max(float(np.mean(variance)), 0.25 / len(total))


@dataclass(frozen=True, kw_only=True)
class ExchangeTest:
    """What the exact test says of a drop in the mean pass rate, candidate minus baseline.

    `delta` is the mean over cases of the difference of pass rates, `se` its standard error,
    `noise` the mean trial variance. `p_value` and `p_plain` are one-sided mid-p: the odds of a result
    this bad or worse when nothing changed, with and without the weights.
    """

    delta: float
    se: float
    noise: float
    p_value: float
    p_plain: float
    law: LatticeLaw
    plain_law: LatticeLaw

    def false_alarm(self, alpha: float) -> float:
        """The most often that an unchanged agent can fail at this level, given the passes in all."""
        return min(self.law.size(alpha), self.plain_law.size(LEANING))


def weights_mislead(counts: PassCounts) -> bool:
    """Whether most cases have too small a baseline to tell the stable ones from the lucky ones.

    That is fewer than three baseline trials, or fewer than candidate trials. The test is exact either
    way; a few such cases, left by errors, cost less power than giving up the weights would.
    """
    small = (counts.base_trials < 3) | (counts.base_trials < counts.trials)
    return bool(np.mean(small) > 0.5)


def compare_passes(counts: PassCounts) -> ExchangeTest:
    """Test whether the candidate passes less often than the baseline; at least one case.

    At one trial each this is McNemar's test with mid-p (Fagerland et al. 2013).
    """
    in_all = counts.base_passed + counts.passed
    designs = np.column_stack((counts.base_trials, counts.trials, in_all))

    def mid_p(law: LatticeLaw, weigh: Weigh) -> float:
        rows = zip(designs.tolist(), counts.passed.tolist(), strict=True)
        return law.mid_p(sum(int(weigh(m, k)[s, c]) for (m, k, s), c in rows))

    plain_law = law_of_sum(designs, plain_weights)
    p_plain = mid_p(plain_law, plain_weights)
    law, p_value = plain_law, p_plain
    if not weights_mislead(counts):
        law = law_of_sum(designs, drop_weights)
        p_value = mid_p(law, drop_weights)
    noise = estimate_noise(counts)
    per_trial = float(np.mean(1 / counts.trials + 1 / counts.base_trials))
    return ExchangeTest(
        delta=float(
            np.mean(counts.passed / counts.trials - counts.base_passed / counts.base_trials)
        ),
        se=sqrt(noise * per_trial / len(in_all)),
        noise=noise,
        p_value=p_value,
        p_plain=p_plain,
        law=law,
        plain_law=plain_law,
    )
