"""Test exactly whether a run passes less often than another run on the same cases.

If nothing changed, the trials of a case are exchangeable between the two runs. Given the total passes of
the case, its candidate passes are then hypergeometric, whatever its pass rate is (Fisher's conditioning,
for each case). So the sum over cases of any function of a case's counts has a known distribution, and the
tail of that distribution is an exact p-value.

A sum with weights finds drops that the plain mean misses. But it also reacts to an agent that got worse in
some cases and equally better in others. The question is whether the mean fell, so a second test must also
reject, in which a gain weighs as much as an equal loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from math import comb, sqrt
from typing import NamedTuple, TypeAlias

import numpy as np

from evalkit.stats.beta_prior import RATES, fit_rate_distribution
from evalkit.stats.distributions import Floats, IntegerDistribution, Ints, exchange_pmf
from evalkit.stats.power import LEANING_ALPHA

WeightFunction: TypeAlias = Callable[[int, int], Ints]
"""Returns the weights of every outcome of a case, from its baseline and candidate trials."""

WORSENED_RATE_FACTOR = 0.9
"""The weights look for a moderate drop, in which every pass rate is multiplied by this. This constant and
the next two were chosen on recorded trials of 82 systems and on synthetic trials. They change the power of
the test, never its size."""
BROKEN_SHARE = 0.02
"""The weights also look for this share of cases that never pass anymore."""
NET_ALPHA_FACTOR = 1.5
"""The level of the net test is this many times the level of the test. Agents that got worse in some cases
and equally better in others fail 5 % of the time at a factor of 1, 7 % at 1.5, and 12 to 30 % without the
net test. At 1, a drop of 5 points is found 2 % less often than at 1.5."""
WEIGHT_STEPS_PER_NAT = 24
"""Weights are log likelihood ratios in steps of 1/24, so that their sum lies on a lattice."""
_MIN_RATIO = 1e-30
"""Limits the weight of an almost impossible outcome, and so the size of the lattice."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PassCounts:
    """Passes of baseline and candidate, case by case: four arrays of shape (cases,), trials >= 1."""

    base_passed: Ints
    base_trials: Ints
    passed: Ints
    trials: Ints

    def inverted(self) -> PassCounts:
        """Return the counts of failures as passes, so that a test for a drop becomes one for a rise."""
        return PassCounts(
            base_passed=self.base_trials - self.base_passed,
            base_trials=self.base_trials,
            passed=self.trials - self.passed,
            trials=self.trials,
        )


def count_below_quantile(
    base: Sequence[Sequence[float]], candidate: Sequence[Sequence[float]], level: float
) -> PassCounts:
    """Count, per case, the trials that are at most the `level` quantile of all trials of both runs.

    Values are by case and trial. A trial counts as a pass if it is at most the pooled quantile, so
    `compare_passes` tests a shift of the quantile exactly and without random draws (Mood's median test,
    for any quantile and within cases).
    """
    pooled = np.sort(np.concatenate([np.asarray(row, dtype=float) for row in (*base, *candidate)]))
    bound = pooled[int(np.ceil(level * pooled.size)) - 1]

    def count_below(rows: Sequence[Sequence[float]]) -> Ints:
        return np.array([np.count_nonzero(np.asarray(row) <= bound) for row in rows])

    return PassCounts(
        base_passed=count_below(base),
        base_trials=np.array([len(row) for row in base]),
        passed=count_below(candidate),
        trials=np.array([len(row) for row in candidate]),
    )


def _binomial_pmfs(trials: int, rates: Floats) -> Floats:
    """Return the distribution of the passes at each rate, shape (rates, trials + 1)."""
    passes = np.arange(trials + 1)
    ways = np.array([comb(trials, count) for count in passes.tolist()], dtype=float)
    chances = np.outer(np.log(rates), passes) + np.outer(np.log1p(-rates), trials - passes)
    pmfs: Floats = np.exp(np.log(ways) + chances)
    return pmfs


def _worsened_pmf(rate_shares: Floats, base_trials: int, trials: int) -> Floats:
    """Return the distribution of the candidate's passes given the total, if rates fell by a tenth.

    It is proportional to the sum over rates p of rate_shares(p) Bin(s-c; m, p) Bin(c; K, .9p).
    """
    before = _binomial_pmfs(base_trials, RATES)
    after = _binomial_pmfs(trials, WORSENED_RATE_FACTOR * RATES)
    joint = after.T @ (rate_shares[:, np.newaxis] * before)
    pmf = np.zeros((base_trials + trials + 1, trials + 1))
    for c in range(trials + 1):
        pmf[c : c + base_trials + 1, c] = joint[c]
    pmf /= pmf.sum(axis=1, keepdims=True)
    return pmf


def drop_weights(rate_shares: Floats, base_trials: int, trials: int) -> Ints:
    """Return how much evidence for a drop each outcome of a case is, in 1/24 of a natural log unit.

    `rate_shares` is the share of cases with each of RATES. If most cases are stable, a failure of a case
    that never failed before weighs most. If all cases are equally flaky, all failures weigh the same. The
    shape is (base_trials + trials + 1, trials + 1), indexed like `exchange_pmf`; zero if the outcome is
    impossible.
    """
    unchanged = exchange_pmf(base_trials, trials)
    broken = np.array(unchanged)
    # A broken case never passes again: a total of up to m passes is all from the baseline.
    broken[: base_trials + 1] = 0.0
    broken[: base_trials + 1, 0] = 1.0
    worsened = _worsened_pmf(rate_shares, base_trials, trials)
    mixture = (1 - BROKEN_SHARE) * worsened + BROKEN_SHARE * broken
    ratio = np.divide(mixture, unchanged, out=np.ones_like(unchanged), where=unchanged > 0)
    steps: Floats = np.rint(WEIGHT_STEPS_PER_NAT * np.log(ratio.clip(min=_MIN_RATIO)))
    return steps.astype(np.int64)


def net_weights(rate_shares: Floats, base_trials: int, trials: int) -> Ints:
    """Return how much more evidence for a drop than for an equal rise each outcome of a case is.

    A rise is a drop in failures. If passes and failures are swapped, the weights change sign.
    """
    drop = drop_weights(rate_shares, base_trials, trials)
    # RATES are symmetric: the rates of failing are the rates of passing in reverse.
    rise = drop_weights(rate_shares[::-1], base_trials, trials)[::-1, ::-1]
    return drop - rise


class Weights(NamedTuple):
    """The two weight functions for one distribution of pass rates."""

    drop: WeightFunction
    net: WeightFunction


def fit_weights(margins: Ints) -> Weights:
    """Return the weights for the pass rates of these cases; `margins` has shape (cases, 3).

    A row holds baseline trials, candidate trials and total passes. The test conditions on these three, and
    the weights depend on nothing else, so the test stays exact.
    """
    rate_shares = fit_rate_distribution(margins[:, 0] + margins[:, 1], margins[:, 2])
    return Weights(
        drop=cache(partial(drop_weights, rate_shares)), net=cache(partial(net_weights, rate_shares))
    )


@cache
def plain_weights(base_trials: int, trials: int) -> Ints:
    """Weigh all failures the same: minus the candidate's passes, indexed like `exchange_pmf`."""
    row = -np.arange(trials + 1, dtype=np.int64)
    return np.tile(row, (base_trials + trials + 1, 1))


def sum_distribution(margins: Ints, weigh: WeightFunction) -> IntegerDistribution:
    """Return the distribution of the summed weights if nothing changed, exact to about 1e-13.

    `margins` has shape (cases, 3): baseline trials, candidate trials, total passes. Cases with equal
    margins have the same distribution, so its Fourier transform is raised to the number of such cases.
    """
    groups, repeats = np.unique(margins, axis=0, return_counts=True)
    lowest, span = 0, 0
    masses = []
    for (m, k, s), cases in zip(groups.tolist(), repeats.tolist(), strict=True):
        pmf = exchange_pmf(m, k)[s]
        possible = np.flatnonzero(pmf)
        values = weigh(m, k)[s, possible]
        lowest += cases * int(values.min())
        span += cases * int(np.ptp(values))
        masses.append((np.bincount(values - values.min(), weights=pmf[possible]), cases))
    # A power of two is fast to transform. It is above the span, so the sum does not wrap around.
    length = 1 << span.bit_length()
    spectrum = np.ones(length // 2 + 1, dtype=complex)
    for mass, cases in masses:
        spectrum *= np.fft.rfft(mass, length) ** cases
    total = np.fft.irfft(spectrum, length)[: span + 1].clip(min=0.0)
    return IntegerDistribution(lowest=lowest, mass=total)


def estimate_trial_variance(counts: PassCounts) -> float:
    """Estimate the mean over cases of p(1-p), the variance of one trial; unbiased if nothing changed.

    For each case it is (m+K)/(m+K-1) q(1-q), with q the share of passes in both runs. The mean is at least
    .25/n, because n cases whose trials all agreed do not prove that trials never disagree.
    """
    total = counts.base_trials + counts.trials
    rate = (counts.base_passed + counts.passed) / total
    variance = total / (total - 1) * rate * (1 - rate)
    return bound_noise(float(np.mean(variance)), len(total))


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
    `noise` the mean trial variance. `plain` is the test with equal weights, `drop` with `drop_weights`,
    `net` with `net_weights`. All three are `plain` if weights would mislead.
    """

    delta: float
    se: float
    noise: float
    plain: MidPTest
    drop: MidPTest
    net: MidPTest

    @property
    def p_value(self) -> float:
        """The one-sided probability of a result this bad or worse if nothing changed.

        It is at most alpha if `drop` is at most alpha and `net` at most NET_ALPHA_FACTOR times alpha. Both
        are required, so it is at most alpha no more often than `drop` alone.
        """
        return max(self.drop.p_value, self.net.p_value / NET_ALPHA_FACTOR)

    @property
    def is_offset_by_gains(self) -> bool:
        """Whether gains in other cases raise the p-value."""
        return self.p_value > self.drop.p_value

    @property
    def smallest_p(self) -> float:
        """The smallest possible p-value, given the total passes."""
        return max(
            self.drop.null_distribution.smallest_mid_p,
            self.net.null_distribution.smallest_mid_p / NET_ALPHA_FACTOR,
        )

    def false_alarm(self, alpha: float) -> float:
        """Return an upper bound of the probability that an unchanged agent fails, given the total passes."""
        return min(
            self.drop.null_distribution.rejection_rate(alpha),
            self.net.null_distribution.rejection_rate(NET_ALPHA_FACTOR * alpha),
            self.plain.null_distribution.rejection_rate(LEANING_ALPHA),
        )


def weights_mislead(counts: PassCounts) -> bool:
    """Return whether the baseline of most cases is too small to separate stable cases from lucky ones.

    It is too small with fewer than three trials, or with fewer than the candidate has. The test is exact
    in any case. A few such cases, caused by errors, cost less power than equal weights would.
    """
    small = (counts.base_trials < 3) | (counts.base_trials < counts.trials)
    return bool(np.mean(small) > 0.5)


def compare_passes(counts: PassCounts) -> ExchangeTest:
    """Test whether the candidate passes less often than the baseline, on at least one case.

    At one trial each this is McNemar's test with mid-p (Fagerland et al. 2013).
    """
    total_passed = counts.base_passed + counts.passed
    margins = np.column_stack((counts.base_trials, counts.trials, total_passed))

    def test_sum(weigh: WeightFunction) -> MidPTest:
        distribution = sum_distribution(margins, weigh)
        rows = zip(margins.tolist(), counts.passed.tolist(), strict=True)
        observed = sum(int(weigh(m, k)[s, c]) for (m, k, s), c in rows)
        return MidPTest(null_distribution=distribution, p_value=distribution.mid_p(observed))

    plain = drop = net = test_sum(plain_weights)
    if not weights_mislead(counts):
        drop, net = map(test_sum, fit_weights(margins))
    # Pool the trials of both runs, because the null hypothesis is that they do not differ.
    noise = estimate_trial_variance(counts)
    per_trial = float(np.mean(1 / counts.trials + 1 / counts.base_trials))
    change = counts.passed / counts.trials - counts.base_passed / counts.base_trials
    return ExchangeTest(
        delta=float(np.mean(change)),
        se=sqrt(noise * per_trial / len(total_passed)),
        noise=noise,
        plain=plain,
        drop=drop,
        net=net,
    )
