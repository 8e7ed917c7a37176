"""The exact exchange test for a drop in the passes of two runs on the same cases.

If nothing changed, the trials of a case are exchangeable between the two runs. Given how often the case
passed in all, its candidate passes are then hypergeometric, whatever the case's own pass rate is
(Fisher's conditioning, case by case). The sum over cases of any function of a case's counts therefore has
a known distribution, and its tail is an exact p-value.

Weights that look for a drop find one where the plain mean does not. They also respond to an agent that
lost in some cases what it gained in others. The question here is whether the mean fell, so a second test,
in which a gain weighs as much as an equal loss, has to agree.
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
"""The moderate drop that the weights look for: every pass rate times this. This constant and the next two
were chosen on recorded trials of 82 systems and on synthetic ones. They change the power of the test, never
its size."""
BROKEN_SHARE = 0.02
"""The share of cases assumed to be completely broken in the alternative that the weights look for."""
NET_ALPHA_FACTOR = 1.5
"""How many times the level the net test may use. At 1, agents whose cases changed places fail 5 % of the
time, and a drop of 5 points is found 2 % less often than at 1.5, where they fail 7 % of the time. Without
the net test they fail 12 to 30 % of the time."""
WEIGHT_STEPS_PER_NAT = 24
"""Weights are log likelihood ratios in steps of 1/24, so that their sum lies on a lattice."""
_MIN_RATIO = 1e-30
"""Bounds the weight of an almost impossible outcome, and with it the size of the lattice."""


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


def count_below_quantile(
    base: Sequence[Sequence[float]], candidate: Sequence[Sequence[float]], level: float
) -> PassCounts:
    """Count, per case, the trials that are at most the `level` quantile of all trials of both runs.

    Values are by case and trial. Whether a trial lies beyond the pooled quantile is 0 or 1, so
    `compare_passes` tests a shift of the quantile exactly and without random draws (Mood's median test,
    at another quantile and within cases).
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


def _worsened_pmf(spread: Floats, base_trials: int, trials: int) -> Floats:
    """Return the distribution of the candidate's passes given all passes, when rates fell by a tenth.

    It is proportional to the sum over rates p of spread(p) Bin(s-c; m, p) Bin(c; K, .9p).
    """
    before = _binomial_pmfs(base_trials, RATES)
    after = _binomial_pmfs(trials, WORSENED_RATE_FACTOR * RATES)
    jointly = after.T @ (spread[:, np.newaxis] * before)
    pmf = np.zeros((base_trials + trials + 1, trials + 1))
    for c in range(trials + 1):
        pmf[c : c + base_trials + 1, c] = jointly[c]
    pmf /= pmf.sum(axis=1, keepdims=True)
    return pmf


def drop_weights(spread: Floats, base_trials: int, trials: int) -> Ints:
    """Return how much each outcome of a case speaks for a drop, in 1/24 of a natural log unit.

    `spread` is how the pass rates of all cases are spread over RATES. Where most cases are stable, a
    failure of a case that never failed before weighs most; where all are equally flaky, all failures
    weigh the same. The shape is (base_trials + trials + 1, trials + 1), indexed like `exchange_pmf`;
    zero where the outcome is impossible.
    """
    unchanged = exchange_pmf(base_trials, trials)
    broken = np.array(unchanged)
    # A broken case never passes again: up to m passes in all are all from the baseline.
    broken[: base_trials + 1] = 0.0
    broken[: base_trials + 1, 0] = 1.0
    worsened = _worsened_pmf(spread, base_trials, trials)
    mixture = (1 - BROKEN_SHARE) * worsened + BROKEN_SHARE * broken
    ratio = np.divide(mixture, unchanged, out=np.ones_like(unchanged), where=unchanged > 0)
    steps: Floats = np.rint(WEIGHT_STEPS_PER_NAT * np.log(ratio.clip(min=_MIN_RATIO)))
    return steps.astype(np.int64)


def net_weights(spread: Floats, base_trials: int, trials: int) -> Ints:
    """Return how much more each outcome of a case speaks for a drop than for a rise of the same kind.

    A rise is a drop in failures. Where passes and failures change places, the weights change sign.
    """
    drop = drop_weights(spread, base_trials, trials)
    # RATES are symmetric: the rates of failing are the rates of passing in reverse.
    rise = drop_weights(spread[::-1], base_trials, trials)[::-1, ::-1]
    return drop - rise


class Weights(NamedTuple):
    """The two sets of weights for one spread of pass rates."""

    drop: WeightFunction
    net: WeightFunction


def fit_weights(designs: Ints) -> Weights:
    """Return the weights for the spread of pass rates in these cases, shape (cases, 3).

    A row holds baseline trials, candidate trials and passes in all. The weights depend on the passes in
    all only, which the test takes as given, so the test stays exact.
    """
    spread = fit_rate_distribution(designs[:, 0] + designs[:, 1], designs[:, 2])
    return Weights(
        drop=cache(partial(drop_weights, spread)), net=cache(partial(net_weights, spread))
    )


@cache
def plain_weights(base_trials: int, trials: int) -> Ints:
    """Weigh all failures the same: minus the candidate's passes, indexed like `exchange_pmf`."""
    row = -np.arange(trials + 1, dtype=np.int64)
    return np.tile(row, (base_trials + trials + 1, 1))


def sum_distribution(designs: Ints, weigh: WeightFunction) -> IntegerDistribution:
    """Return the distribution of the summed weights when nothing changed, exact to about 1e-13.

    `designs` has shape (cases, 3): baseline trials, candidate trials, passes in all. Cases of one
    design share a distribution, whose Fourier transform is raised to their number and multiplied in.
    """
    groups, repeats = np.unique(designs, axis=0, return_counts=True)
    lowest, span = 0, 0
    masses = []
    for (m, k, s), cases in zip(groups.tolist(), repeats.tolist(), strict=True):
        pmf = exchange_pmf(m, k)[s]
        possible = np.flatnonzero(pmf)
        values = weigh(m, k)[s, possible]
        lowest += cases * int(values.min())
        span += cases * int(np.ptp(values))
        masses.append((np.bincount(values - values.min(), weights=pmf[possible]), cases))
    # A power of two above the span: the transform is fast, and the sum does not wrap around.
    length = 1 << span.bit_length()
    spectrum = np.ones(length // 2 + 1, dtype=complex)
    for mass, cases in masses:
        spectrum *= np.fft.rfft(mass, length) ** cases
    total = np.fft.irfft(spectrum, length)[: span + 1].clip(min=0.0)
    return IntegerDistribution(lowest=lowest, mass=total)


def estimate_trial_variance(counts: PassCounts) -> float:
    """Estimate the mean over cases of p(1-p), the variance of one trial, unbiased when nothing changed.

    Per case it is (m+K)/(m+K-1) q(1-q), with q the share of passes in both runs. It is at least .25/n,
    because n cases that never disagreed do not prove that none ever will.
    """
    total = counts.base_trials + counts.trials
    rate = (counts.base_passed + counts.passed) / total
    variance = total / (total - 1) * rate * (1 - rate)
    return max(float(np.mean(variance)), 0.25 / len(total))


@dataclass(frozen=True, kw_only=True, eq=False)
class MidPTest:
    """A sum of weights: its distribution when nothing changed, and the mid-p of the observed sum."""

    null_distribution: IntegerDistribution
    p_value: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ExchangeTest:
    """The result of the exact test for a drop in the mean pass rate, candidate minus baseline.

    `delta` is the mean over cases of the difference of pass rates, `se` its standard error,
    `noise` the mean trial variance. `plain` weighs every failure the same, `drop` by how much it speaks
    for a drop, `net` against what speaks for a rise. All three are `plain` where weights would mislead.
    """

    delta: float
    se: float
    noise: float
    plain: MidPTest
    drop: MidPTest
    net: MidPTest

    @property
    def p_value(self) -> float:
        """The one-sided probability of a result this bad or worse when nothing changed.

        It is at most alpha when `drop` is and `net` is at most NET_ALPHA_FACTOR times alpha. As both are
        required, it is at most alpha no more often than `drop` alone.
        """
        return max(self.drop.p_value, self.net.p_value / NET_ALPHA_FACTOR)

    @property
    def is_offset_by_gains(self) -> bool:
        """Whether gains in other cases are what keeps the p-value up."""
        return self.p_value > self.drop.p_value

    @property
    def smallest_p(self) -> float:
        """The smallest possible p-value, given the passes in all."""
        return max(
            self.drop.null_distribution.smallest_mid_p,
            self.net.null_distribution.smallest_mid_p / NET_ALPHA_FACTOR,
        )

    def false_alarm(self, alpha: float) -> float:
        """Return the largest probability that an unchanged agent fails, given the passes in all."""
        return min(
            self.drop.null_distribution.rejection_rate(alpha),
            self.net.null_distribution.rejection_rate(NET_ALPHA_FACTOR * alpha),
            self.plain.null_distribution.rejection_rate(LEANING_ALPHA),
        )


def weights_mislead(counts: PassCounts) -> bool:
    """Return whether most cases have too small a baseline to separate stable cases from lucky ones.

    That is fewer than three baseline trials, or fewer than candidate trials. The test is exact either
    way. A few such cases, left by errors, cost less power than giving up the weights would.
    """
    small = (counts.base_trials < 3) | (counts.base_trials < counts.trials)
    return bool(np.mean(small) > 0.5)


def compare_passes(counts: PassCounts) -> ExchangeTest:
    """Test whether the candidate passes less often than the baseline, on at least one case.

    At one trial each this is McNemar's test with mid-p (Fagerland et al. 2013).
    """
    in_all = counts.base_passed + counts.passed
    designs = np.column_stack((counts.base_trials, counts.trials, in_all))

    def add_up(weigh: WeightFunction) -> MidPTest:
        distribution = sum_distribution(designs, weigh)
        rows = zip(designs.tolist(), counts.passed.tolist(), strict=True)
        observed = sum(int(weigh(m, k)[s, c]) for (m, k, s), c in rows)
        return MidPTest(null_distribution=distribution, p_value=distribution.mid_p(observed))

    plain = drop = net = add_up(plain_weights)
    if not weights_mislead(counts):
        drop, net = map(add_up, fit_weights(designs))
    # The trials of both runs are pooled, as the null hypothesis has it.
    noise = estimate_trial_variance(counts)
    per_trial = float(np.mean(1 / counts.trials + 1 / counts.base_trials))
    change = counts.passed / counts.trials - counts.base_passed / counts.base_trials
    return ExchangeTest(
        delta=float(np.mean(change)),
        se=sqrt(noise * per_trial / len(in_all)),
        noise=noise,
        plain=plain,
        drop=drop,
        net=net,
    )
