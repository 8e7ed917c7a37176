"""The exact exchange test: passes of two runs on the same cases, turned into a p-value for a drop.

If nothing changed, the trials of a case are exchangeable between the runs, so that its candidate
passes, given its passes in all, are hypergeometric, whatever the case's own pass rate is (Fisher's
conditioning, case by case). A sum over cases of any function of a case's counts then has a known law,
and its tail is an exact p-value.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from math import comb, sqrt
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

PRIOR = 0.2
"""Beta(.2, .2) of a case's pass rate: most cases are nearly always right or nearly always wrong.
Chosen, like the three below, on recorded trials of 82 systems; they move power, never the size."""
WORSENED = 0.9
"""The moderate drop the weights look for: every pass rate times this."""
BROKEN_SHARE = 0.05
"""The share of cases taken to be broken outright in the alternative the weights look for."""
RESOLUTION = 24
"""Weights are log likelihood ratios in steps of 1/24, so that their sum lies on a lattice."""

PLAIN_GUARD = 0.20
"""A weighted finding counts only when the unweighted test leans the same way at this level."""


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
    beta = np.concatenate((np.exp(log_beta - log_beta.max()), np.zeros(k)))
    law = np.zeros((m + k + 1, k + 1))
    for c in range(k + 1):
        s = np.arange(c, c + m + 1)
        spread = sum(
            comb(k - c, j) * (1 - WORSENED) ** j * beta[s + j] for j in range(k - c + 1)
        )
        ways = np.array([comb(m, passes) * comb(k, c) for passes in range(m + 1)], dtype=float)
        law[s, c] = ways * WORSENED**c * spread
    return law / law.sum(axis=1, keepdims=True)


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
    return np.rint(RESOLUTION * np.log(ratio)).astype(np.int64)
