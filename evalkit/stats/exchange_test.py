"""Test exactly whether a run passes less often than another run on the same cases.

If nothing changed, the trials of a case are exchangeable between the two runs. Given the total passes of
the case, its candidate passes are then hypergeometric, whatever its pass rate is (Fisher's conditioning,
for each case). So the sum over cases of any function of a case's counts has a known distribution, and the
tail of that distribution is an exact p-value.

A sum with weights finds drops that the plain mean misses. The weight of a case is a nondecreasing function
of its baseline passes. Suppose that one candidate pass becomes a failure. Then the observed sum stays the
same. Under the null hypothesis, the baseline passes of that case get stochastically smaller. So no p-value
rises, whatever the other cases are: more failures are never weaker evidence.

A weighted sum also reacts to an agent that got worse in some cases and equally better in others. The
question is whether the mean fell, so a second test must also reject, in which a gain weighs as much as an
equal loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import comb, log, sqrt
from typing import TypeAlias

import numpy as np

from evalkit.stats.distributions import Floats, IntegerDistribution, Ints, exchange_pmf
from evalkit.stats.pass_counts import PassCounts
from evalkit.stats.power import LEANING_ALPHA

WeightFunction: TypeAlias = Callable[[int], Ints]
"""Returns the weight of 0, 1, ... m baseline passes, shape (m + 1,), from the number m of baseline trials."""

WORSENED_RATE_FACTOR = 0.9
"""The weights look for a moderate drop, in which every pass rate is multiplied by this. This constant and
the next two were chosen on half of the recorded systems and on synthetic trials. They change the power of
the test, never its size."""
RATE_SHAPE = 0.2
"""The weights assume pass rates from Beta(.2, .2): most cases nearly always pass or nearly always fail."""
BROKEN_SHARE = 0.05
"""The weights also look for this share of cases that never pass anymore."""
NET_ALPHA_FACTORS = (0.5, 1.5)
"""The smallest and the largest level of the net test, as multiples of the level of the test."""
NET_ALPHA_TRIALS = 5.0
"""The net test has this number, divided by the baseline trials per case, times the level of the test. The
longer the history, the more the weights favor losses of stable cases. Agents that got worse in some cases
and equally better in others would otherwise fail up to 12 % of the time."""
WEIGHT_STEPS_PER_NAT = 24
"""Weights are log likelihood ratios in steps of 1/24, so that their sum lies on a lattice."""


@cache
def rerun_pmf(base_trials: int, trials: int, total: int, marked: int, marked_passed: int) -> Floats:
    """Return the distribution of a case's candidate passes, if nothing changed, shape (trials + 1,).

    Without a choice (`marked` is 0) it is the hypergeometric `exchange_pmf`. Otherwise the case took more
    than one trial because a marked trial is among the m baseline trials and the first candidate trial. All
    orders of the m + K trials are equally likely, except those in which all u marked trials are among the
    last K - 1. Those have the probability C(K-1, u) / C(m+K, u), and are left out.
    """
    pmf: Floats = exchange_pmf(base_trials, trials)[total].copy()
    if not marked:
        return pmf
    left_out = comb(trials - 1, marked) / comb(base_trials + trials, marked)
    others = total - marked_passed
    ways = comb(base_trials + trials - marked, others)
    for more in range(max(0, others - base_trials), min(trials - marked, others) + 1):
        chance = comb(trials - marked, more) * comb(base_trials, others - more) / ways
        pmf[marked_passed + more] -= left_out * chance
    # Rounding can leave less than 0 where the choice left nothing.
    pmf[pmf < 1e-15] = 0.0
    pmf /= pmf.sum()
    return pmf


@cache
def drop_weights(base_trials: int) -> Ints:
    """Return how much evidence for a drop it is if a case passed 0, 1, ... m times in the baseline.

    Of two results of a case with the same total, the one with more baseline passes has fewer candidate
    passes. The weight of b passes exceeds that of b - 1 by the log likelihood ratio of the next trial: that
    it fails after b passes, and not that it passes after b - 1. The ratio is that of an agent whose cases
    got worse (WORSENED_RATE_FACTOR f) or broke (BROKEN_SHARE), to an unchanged agent. With rates from
    Beta(a, a), the odds of the failure are (m-b+1) (m+2a - f(b+a)) / (f b (m-b+a)) if the case got worse
    and (m-b+1) / b if nothing changed. The unit is 1/24 of a natural log unit; the shape is (m + 1,).
    """
    m, a, f = base_trials, RATE_SHAPE, WORSENED_RATE_FACTOR
    broken = BROKEN_SHARE / (1 - BROKEN_SHARE)
    weight, weights = 0.0, [0.0]
    for b in range(1, m + 1):
        odds = (m - b + 1) * (m + 2 * a - f * (b + a)) / (f * b * (m - b + a))
        # A broken case never passes again, so its odds are infinite.
        weight += log((odds + broken * (1 + odds)) * b / (m - b + 1))
        weights.append(weight)
    steps: Floats = np.rint(WEIGHT_STEPS_PER_NAT * np.array(weights))
    return steps.astype(np.int64)


@cache
def net_weights(base_trials: int) -> Ints:
    """Return how much more evidence for a drop than for an equal rise the baseline passes are.

    A rise is a drop in failures. If passes and failures are swapped, the weights change sign.
    """
    weights = drop_weights(base_trials)
    net: Ints = weights - weights[::-1]
    return net


@cache
def plain_weights(base_trials: int) -> Ints:
    """Weigh all failures the same: with a given total, each baseline pass is one candidate pass less."""
    return np.arange(base_trials + 1, dtype=np.int64)


def sum_distribution(margins: Ints, weigh: WeightFunction) -> IntegerDistribution:
    """Return the distribution of the summed weights if nothing changed, exact to about 1e-13.

    `margins` is that of PassCounts. Cases with equal margins have the same distribution, so its Fourier
    transform is raised to the number of such cases.
    """
    groups, repeats = np.unique(margins, axis=0, return_counts=True)
    lowest, span = 0, 0
    masses = []
    for (m, k, s, *marks), cases in zip(groups.tolist(), repeats.tolist(), strict=True):
        pmf = rerun_pmf(m, k, s, *marks)
        possible = np.flatnonzero(pmf)
        values = weigh(m)[s - possible]
        lowest += cases * int(values.min())
        span += cases * int(np.ptp(values))
        masses.append((np.bincount(values - values.min(), weights=pmf[possible]), cases))
    # A power of two is fast to transform. It is above the span, so the sum does not wrap around.
    length = 1 << span.bit_length()
    spectrum = np.ones(length // 2 + 1, dtype=complex)
    for mass, cases in masses:
        if mass.size > 1:
            spectrum *= np.fft.rfft(mass, length) ** cases
    total = np.fft.irfft(spectrum, length)[: span + 1].clip(min=0.0)
    return IntegerDistribution(lowest=lowest, mass=total)


def case_variances(counts: PassCounts) -> Floats:
    """Estimate p(1-p), the variance of one trial, for each case; unbiased if nothing changed.

    It is (m+K)/(m+K-1) q(1-q), with q the share of passes in both runs.
    """
    total = counts.base_trials + counts.trials
    rate = (counts.base_passed + counts.passed) / total
    variances: Floats = total / (total - 1) * rate * (1 - rate)
    return variances


def estimate_trial_variance(counts: PassCounts) -> float:
    """Estimate the mean over cases of p(1-p), the variance of one trial; see `bound_noise`."""
    return bound_noise(float(np.mean(case_variances(counts))), counts.trials.size)


def bound_noise(noise: float, cases: int) -> float:
    """Return the variance of a trial, at least .25/n: n equal cases do not prove that trials never differ."""
    return max(noise, 0.25 / cases)


@dataclass(frozen=True, kw_only=True, eq=False)
class MidPTest:
    """The null distribution of a sum of weights, and the mid-p of the observed sum."""

    null_distribution: IntegerDistribution
    p_value: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ExchangeTest:
    """The result of the exact test for a drop in the mean pass rate, candidate minus baseline.

    `delta` is the mean over cases of the difference of pass rates, `se` its standard error,
    `noise` the mean trial variance. `base_trials` and `trials` are the numbers of trials per case that
    would give the same standard error if all cases had them. `plain` is the test with equal weights, `drop`
    with `drop_weights`, `net` with `net_weights`. The net test must reject at `net_factor` times alpha.
    """

    delta: float
    se: float
    noise: float
    base_trials: float
    trials: float
    net_factor: float
    plain: MidPTest
    drop: MidPTest
    net: MidPTest

    @property
    def p_value(self) -> float:
        """The one-sided probability of a result this bad or worse if nothing changed.

        It is at most alpha if `drop` is at most alpha and `net` at most net_factor times alpha. Both
        are required, so it is at most alpha no more often than `drop` alone.
        """
        return min(1.0, max(self.drop.p_value, self.net.p_value / self.net_factor))

    @property
    def p_of_result(self) -> float:
        """The one-sided probability to report, at most `p_value`.

        Where the net test has a stricter level than alpha, `p_value` overstates the probability. Then the
        larger of both p-values is a bound as well.
        """
        return min(self.p_value, max(self.drop.p_value, self.net.p_value))

    def is_offset_by_gains(self, level: float) -> bool:
        """Return whether only gains in other cases keep the p-value above `level`."""
        return self.drop.p_value <= level < self.p_value

    @property
    def smallest_p(self) -> float:
        """The smallest possible p-value, given the total passes."""
        return min(
            1.0,
            max(
                self.drop.null_distribution.smallest_mid_p,
                self.net.null_distribution.smallest_mid_p / self.net_factor,
            ),
        )

    def false_alarm(self, alpha: float) -> float:
        """Return an upper bound of the probability that an unchanged agent fails, given the total passes."""
        return min(
            self.drop.null_distribution.rejection_rate(alpha),
            self.net.null_distribution.rejection_rate(self.net_factor * alpha),
            self.plain.null_distribution.rejection_rate(LEANING_ALPHA),
        )


def net_alpha_factor(base_trials: Ints) -> float:
    """Return the level of the net test as a multiple of alpha: 1.5 at 3 baseline trials, .5 at 10."""
    least, most = NET_ALPHA_FACTORS
    return min(max(NET_ALPHA_TRIALS / float(np.mean(base_trials)), least), most)


def compare_passes(counts: PassCounts) -> ExchangeTest:
    """Test whether the candidate passes less often than the baseline, on at least one case.

    At one trial each this is McNemar's test with mid-p (Fagerland et al. 2013).
    """
    margins = counts.margins

    def test_sum(weigh: WeightFunction) -> MidPTest:
        distribution = sum_distribution(margins, weigh)
        rows = zip(counts.base_trials.tolist(), counts.base_passed.tolist(), strict=True)
        observed = sum(int(weigh(m)[b]) for m, b in rows)
        return MidPTest(null_distribution=distribution, p_value=distribution.mid_p(observed))

    # Pool the trials of both runs, because the null hypothesis is that they do not differ.
    noise = estimate_trial_variance(counts)
    passed, trials = counts.counted
    # Only trials of cases with noise add to the error of the mean, so these count more.
    shares = case_variances(counts) + 0.25 / trials.size
    shares /= shares.sum()
    per_trial, per_base_trial = (
        float(shares @ (1 / number)) for number in (trials, counts.base_trials)
    )
    change = passed / trials - counts.base_passed / counts.base_trials
    return ExchangeTest(
        delta=float(np.mean(change)),
        se=sqrt(noise * (per_trial + per_base_trial) / trials.size),
        noise=noise,
        base_trials=1 / per_base_trial,
        trials=1 / per_trial,
        net_factor=net_alpha_factor(counts.base_trials),
        plain=test_sum(plain_weights),
        drop=test_sum(drop_weights),
        net=test_sum(net_weights),
    )
