"""The exact exchange test: passes of two runs on the same cases, turned into a p-value for a drop.

If nothing changed, the trials of a case are exchangeable between the runs, so that its candidate
passes, given its passes in all, are hypergeometric, whatever the case's own pass rate is (Fisher's
conditioning, case by case). A sum over cases of any function of a case's counts then has a known law,
and its tail is an exact p-value.

Weights that look for a drop find it where the plain mean does not, yet they are also roused by an agent
that lost in some cases what it gained in others. Whether the mean fell is the question here, so a second
test, in which a gain weighs as much as a like loss, has to agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, partial
from math import comb, sqrt
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evalkit.stats.beta_prior import RATES, fit_rate_distribution
from evalkit.stats.power import LEANING_ALPHA

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
WeightFunction: TypeAlias = Callable[[int, int], Ints]
"""Weights of every outcome of a case, by its baseline and candidate trials."""

WORSENED_RATE_FACTOR = 0.9
"""The moderate drop the weights look for: every pass rate times this. Chosen, like the two below, on
recorded trials of 82 systems and on made-up ones; they move power, never the size."""
BROKEN_SHARE = 0.02
"""The share of cases taken to be broken outright in the alternative the weights look for."""
NET_ALPHA_FACTOR = 1.5
"""How many times its level the net test may take. At 1 agents whose cases changed places are failed 5 %
of the time and a drop of 5 points 2 % less often than at 1.5, where it is 7 %; without it, 12 to 30 %."""
WEIGHT_STEPS_PER_NAT = 24
"""Weights are log likelihood ratios in steps of 1/24, so that their sum lies on a lattice."""
_MIN_RATIO = 1e-30
"""Bounds the weight of what is next to impossible, and with it the lattice."""


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
class IntegerDistribution:
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

    def rejection_rate(self, level: float) -> float:
        """How often, exactly, the mid-p is at most `level`."""
        found = self.tail[self.tail - self.mass / 2 <= level]
        return float(found[0]) if found.size else 0.0


@cache
def exchange_pmf(base_trials: int, trials: int) -> Floats:
    """Law of the candidate's passes given the passes in all, when nothing changed.

    Returns shape (base_trials + trials + 1, trials + 1): row s, column c holds the hypergeometric
    C(m, s-c) C(K, c) / C(m+K, s), zero where c cannot be.
    """
    law = np.zeros((base_trials + trials + 1, trials + 1))
    for s in range(base_trials + trials + 1):
        for c in range(max(0, s - base_trials), min(trials, s) + 1):
            law[s, c] = comb(base_trials, s - c) * comb(trials, c) / comb(base_trials + trials, s)
    return law


def _binomial_pmfs(trials: int, rates: Floats) -> Floats:
    """The law of so many trials' passes at each rate, shape (rates, trials + 1)."""
    passes = np.arange(trials + 1)
    ways = np.array([comb(trials, count) for count in passes.tolist()], dtype=float)
    chances = np.outer(np.log(rates), passes) + np.outer(np.log1p(-rates), trials - passes)
    law: Floats = np.exp(np.log(ways) + chances)
    return law


def _worsened_pmf(spread: Floats, base_trials: int, trials: int) -> Floats:
    """Law of the candidate's passes given the passes in all, when pass rates fell by a tenth.

    Proportional to the sum over rates p of spread(p) Bin(s-c; m, p) Bin(c; K, .9p).
    """
    before = _binomial_pmfs(base_trials, RATES)
    after = _binomial_pmfs(trials, WORSENED_RATE_FACTOR * RATES)
    jointly = after.T @ (spread[:, np.newaxis] * before)
    law = np.zeros((base_trials + trials + 1, trials + 1))
    for c in range(trials + 1):
        law[c : c + base_trials + 1, c] = jointly[c]
    law /= law.sum(axis=1, keepdims=True)
    return law


def drop_weights(spread: Floats, base_trials: int, trials: int) -> Ints:
    """How much each outcome of a case speaks for a drop, in 1/24 of a natural log unit.

    `spread` is how the pass rates of all cases are spread over RATES: where most cases are stable, a
    failure of a case that never failed before weighs most; where all waver alike, failures weigh alike.
    Returns shape (base_trials + trials + 1, trials + 1), indexed like `exchange_law`; zero where the
    outcome cannot be.
    """
    law = exchange_pmf(base_trials, trials)
    possible = law > 0
    broken = np.array(law)
    broken[: base_trials + 1] = 0.0
    broken[: base_trials + 1, 0] = 1.0
    worsened = _worsened_pmf(spread, base_trials, trials)
    mixture = (1 - BROKEN_SHARE) * worsened + BROKEN_SHARE * broken
    ratio = np.divide(mixture, law, out=np.ones_like(law), where=possible)
    weights: Ints = np.rint(WEIGHT_STEPS_PER_NAT * np.log(ratio.clip(min=_MIN_RATIO))).astype(
        np.int64
    )
    return weights


def net_weights(spread: Floats, base_trials: int, trials: int) -> Ints:
    """How much more each outcome of a case speaks for a drop than for a rise of the same kind.

    A rise is a drop in failures. Where passes and failures change places, the weights change sign.
    """
    drop = drop_weights(spread, base_trials, trials)
    # RATES are symmetric: those of failing are those of passing backwards.
    rise = drop_weights(spread[::-1], base_trials, trials)[::-1, ::-1]
    return drop - rise


class Weights(NamedTuple):
    """The weights fitted to some cases: those that look for a drop, and the net of drop and rise."""

    drop: WeightFunction
    net: WeightFunction


def fit_weights(designs: Ints) -> Weights:
    """Weights for the spread of pass rates that these cases show, shape (cases, 3) as below.

    They depend on the passes in all only, which the test takes as given: it stays exact.
    """
    spread = fit_rate_distribution(designs[:, 0] + designs[:, 1], designs[:, 2])
    return Weights(
        drop=cache(partial(drop_weights, spread)), net=cache(partial(net_weights, spread))
    )


@cache
def plain_weights(base_trials: int, trials: int) -> Ints:
    """Every candidate failure alike: minus the candidate's passes, indexed like `exchange_law`."""
    row = -np.arange(trials + 1, dtype=np.int64)
    return np.tile(row, (base_trials + trials + 1, 1))


def sum_distribution(designs: Ints, weigh: WeightFunction) -> IntegerDistribution:
    """Law of the summed weights over cases when nothing changed, exact to about 1e-13.

    `designs` has shape (cases, 3): baseline trials, candidate trials, passes in all. Cases of one
    design share a law, whose transform is raised to their number and multiplied in.
    """
    groups, repeats = np.unique(designs, axis=0, return_counts=True)
    lowest, span = 0, 0
    masses = []
    for (m, k, s), cases in zip(groups.tolist(), repeats.tolist(), strict=True):
        law = exchange_pmf(m, k)[s]
        possible = np.flatnonzero(law)
        values = weigh(m, k)[s, possible]
        lowest += cases * int(values.min())
        span += cases * int(np.ptp(values))
        masses.append((np.bincount(values - values.min(), weights=law[possible]), cases))
    length = 1 << span.bit_length()
    spectrum = np.ones(length // 2 + 1, dtype=complex)
    for mass, cases in masses:
        spectrum *= np.fft.rfft(mass, length) ** cases
    return IntegerDistribution(
        lowest=lowest, mass=np.fft.irfft(spectrum, length)[: span + 1].clip(min=0.0)
    )


def estimate_trial_variance(counts: PassCounts) -> float:
    """The mean over cases of p(1-p), the variance of one trial, unbiased when nothing changed.

    Per case (m+K)/(m+K-1) q(1-q) with q the share of passes in both runs; at least .25/n, because n
    cases that never disagreed do not prove that none ever will.
    """
    total = counts.base_trials + counts.trials
    rate = (counts.base_passed + counts.passed) / total
    variance = total / (total - 1) * rate * (1 - rate)
    return max(float(np.mean(variance)), 0.25 / len(total))


@dataclass(frozen=True, kw_only=True, eq=False)
class MidPTest:
    """A sum of weights: its law when nothing changed, and the mid-p of what was seen."""

    null_distribution: IntegerDistribution
    p_value: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ExchangeTest:
    """What the exact test says of a drop in the mean pass rate, candidate minus baseline.

    `delta` is the mean over cases of the difference of pass rates, `se` its standard error,
    `noise` the mean trial variance. `plain` weighs every failure alike, `drop` by how it speaks for a
    drop, `net` against what speaks for a rise; all three are `plain` where weights would mislead.
    """

    delta: float
    se: float
    noise: float
    plain: MidPTest
    drop: MidPTest
    net: MidPTest

    @property
    def p_value(self) -> float:
        """The odds of a result this bad or worse when nothing changed, one-sided.

        At most alpha when `drop` is and `net` is at most NET_LEVEL times alpha; as both have to be, it
        is at most alpha no more often than `drop` alone.
        """
        return max(self.drop.p_value, self.net.p_value / NET_ALPHA_FACTOR)

    @property
    def is_offset_by_gains(self) -> bool:
        """Whether it is what other cases gained that keeps the p-value up."""
        return self.p_value > self.drop.p_value

    @property
    def smallest_p(self) -> float:
        """The least p-value that there can be, given the passes in all."""
        return max(
            self.drop.null_distribution.smallest_mid_p,
            self.net.null_distribution.smallest_mid_p / NET_ALPHA_FACTOR,
        )

    def false_alarm(self, alpha: float) -> float:
        """The most often that an unchanged agent can fail at this level, given the passes in all."""
        return min(
            self.drop.null_distribution.rejection_rate(alpha),
            self.net.null_distribution.rejection_rate(NET_ALPHA_FACTOR * alpha),
            self.plain.null_distribution.rejection_rate(LEANING_ALPHA),
        )


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

    def add_up(weigh: WeightFunction) -> MidPTest:
        law = sum_distribution(designs, weigh)
        rows = zip(designs.tolist(), counts.passed.tolist(), strict=True)
        return MidPTest(
            null_distribution=law,
            p_value=law.mid_p(sum(int(weigh(m, k)[s, c]) for (m, k, s), c in rows)),
        )

    plain = drop = net = add_up(plain_weights)
    if not weights_mislead(counts):
        drop, net = map(add_up, fit_weights(designs))
    noise = estimate_trial_variance(counts)
    per_trial = float(np.mean(1 / counts.trials + 1 / counts.base_trials))
    return ExchangeTest(
        delta=float(
            np.mean(counts.passed / counts.trials - counts.base_passed / counts.base_trials)
        ),
        se=sqrt(noise * per_trial / len(in_all)),
        noise=noise,
        plain=plain,
        drop=drop,
        net=net,
    )
