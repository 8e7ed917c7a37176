"""Compute the power of a paired comparison of pass rates by normal approximation.

Let w be the mean over cases of p(1-p) before the drop, and w1 after it. The threshold of the test depends
on w, and the standard error of the result on w1. The usual formula has w for both, which overstates the
power by up to 25 points if pass rates are high.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite, sqrt
from statistics import NormalDist
from typing import TypeAlias

WANTED_POWER = 0.80
"""The convention for a detectable effect (Cohen 1988)."""

LEANING_ALPHA = 0.20
"""The one-sided level at which data suggest harm, even if it is not proven."""

_PHI = NormalDist().cdf
MAX_TRIALS = 20
"""More trials per case than this cost more than more cases would."""
REFINEMENTS = 20
"""Each one makes the error of a bound several times smaller."""


def z_quantile(alpha: float) -> float:
    """Return the normal quantile that is exceeded with probability `alpha`."""
    return -NormalDist().inv_cdf(alpha)


@dataclass(frozen=True, kw_only=True, slots=True)
class Design:
    """The sizes and the noise of a comparison.

    `trials` and `base_trials` are per case (harmonic means if cases differ), `mean` is the baseline's mean
    pass rate, `noise` is w. With `looks`, `trials` is the maximum, because the run may end at an earlier
    look. `clusters` is set if the question is about other cases like these: it is the number of
    independent draws that the cases count as. `mean_square` is the mean over cases of the squared mean
    score; it is set for graded scores, and follows from `mean` and `noise` for 0/1 scores. `silent` is the
    share of cases that never pass, which take one trial only if the run has looks. `seen_noise` is the
    noise that simulated trials have, where `noise` is the least that the test assumes.
    """

    cases: int
    base_trials: float
    trials: float
    mean: float
    noise: float
    looks: int = 0
    clusters: float | None = None
    silent: float = 0.0
    mean_square: float | None = None
    seen_noise: float | None = None

    @property
    def square(self) -> float:
        """The mean over cases of the squared pass rate."""
        return self.mean - self.noise if self.mean_square is None else self.mean_square

    @property
    def se(self) -> float:
        """The standard error of the difference of mean pass rates if nothing changed."""
        return sqrt(self.noise * (1 / self.trials + 1 / self.base_trials) / self.cases)

    def noise_after(self, drop: float) -> float:
        """Return the mean trial variance after this share of all trials, drop / mean, scores 0 instead.

        So every rate p becomes kept * p. The mean square of a trial falls like the mean, and for 0/1 scores
        it is the mean. Scores that all fall a little are less noisy, so the result is an upper bound.
        """
        kept = 1 - drop / self.mean
        return kept * (self.noise + self.square - kept * self.square)

    def se_bound_after(self, drop: float) -> float:
        """Return a lower bound of the standard error of the difference of means after such a drop.

        Pass rates near 1 get noisier when they fall. With the noise of an unchanged agent, drops that the
        report calls ruled out would pass twice as often as the interval allows.
        """
        after = (
            max(self.noise, self.noise_after(min(drop, self.mean))) if self.mean > 0 else self.noise
        )
        return sqrt((after / self.trials + self.noise / self.base_trials) / self.cases)

    def se_after(self, drop: float) -> float:
        """Return the standard error of the difference of means after such a drop."""
        variance = self._trial_variance(drop)
        if self.clusters is not None:
            spread = max(self.square - self.mean**2, 0.0)
            variance += (drop / self.mean) ** 2 * spread / self.clusters
        return sqrt(variance)

    def null_se_after(self, drop: float) -> float:
        """Return the standard error that the test uses for its null hypothesis after such a drop.

        The exchange test pools both runs, weighted by their trials. The sign-flip test uses the mean square
        of the differences of cases or clusters.
        """
        if self.clusters is not None:
            square = (drop / self.mean) ** 2 * self.square
            return sqrt(self._trial_variance(drop) + square / self.clusters)
        share = self.trials / (self.trials + self.base_trials)
        pooled = (1 - share) * self.noise + share * self.noise_after(drop)
        return sqrt(pooled * (1 / self.trials + 1 / self.base_trials) / self.cases)

    def _trial_variance(self, drop: float) -> float:
        return (self.noise_after(drop) / self.trials + self.noise / self.base_trials) / self.cases


@dataclass(frozen=True, kw_only=True, slots=True)
class DropLimits:
    """A rule's limits: a proven drop of `max_drop` or more fails; ruling out `tolerated` passes."""

    alpha: float
    max_drop: float
    tolerated: float


def bound_drop(design: Design, harm: float, z: float) -> float:
    """Return the largest drop that a drop of `harm` does not rule out, z standard errors above it.

    The standard error is that of an agent with the returned drop, as in a score interval (Wilson 1927).
    """
    bound = harm + z * design.se
    for _ in range(REFINEMENTS):
        bound = harm + z * design.se_bound_after(max(bound, 0.0))
    return bound


def chance_to_fail(design: Design, limits: DropLimits, drop: float) -> float:
    """Return how often a single test fails a true drop in the mean pass rate (0 < drop <= mean)."""
    if has_too_few_clusters(design, limits):
        return 0.0
    threshold = z_quantile(limits.alpha) * design.null_se_after(drop)
    return _PHI((drop - max(threshold, limits.max_drop)) / design.se_after(drop))


def has_too_few_clusters(design: Design, limits: DropLimits) -> bool:
    """Return whether there are so few clusters that even a drop in all of them proves nothing."""
    return design.clusters is not None and 0.5 ** (design.clusters + 1) > limits.alpha


PowerFunction: TypeAlias = Callable[[Design, DropLimits, float], float]
"""Returns how often a design fails a drop."""


def find_detectable_drop(
    design: Design,
    limits: DropLimits,
    *,
    power: float = WANTED_POWER,
    chance: PowerFunction = chance_to_fail,
    steps: int = 40,
) -> float | None:
    """Return the smallest drop that fails with the given chance; None if not even the largest does.

    `steps` halve the interval that it is in, which starts as long as the mean pass rate.
    """
    if design.mean <= 0 or chance(design, limits, design.mean) < power:
        return None
    low, high = 0.0, design.mean
    for _ in range(steps):
        middle = (low + high) / 2
        is_missed = chance(design, limits, middle) < power
        low, high = (middle, high) if is_missed else (low, middle)
    return high


def find_detectable_shift(
    se: float, limits: DropLimits, *, power: float = WANTED_POWER
) -> float | None:
    """Return the smallest harm that fails with the given chance, from its standard error; None if no harm does."""
    smallest = max(z_quantile(limits.alpha) * se, limits.max_drop) + z_quantile(1 - power) * se
    return smallest if isfinite(smallest) else None


def chance_to_decide(design: Design, limits: DropLimits, delta: float, trials: int) -> float:
    """Return the chance that a new run with `trials` per case is decided, after a run that showed `delta`.

    The new result varies around `delta` with the candidate noise of both runs. The noise of the baseline
    is the same in both and cancels.
    """
    planned = replace(design, trials=trials)
    scatter = sqrt(design.noise * (1 / design.trials + 1 / trials) / design.cases)
    z = z_quantile(limits.alpha)
    fails = _PHI((-max(z * planned.se, limits.max_drop) - delta) / scatter)
    reach = z * planned.se_bound_after(limits.tolerated)
    # A drop that is large and may be real does not pass, however narrow the interval is.
    suspected = min(-limits.max_drop, -z_quantile(LEANING_ALPHA) * planned.se)
    passes = 1 - _PHI((max(reach - limits.tolerated, suspected) - delta) / scatter)
    return min(1.0, fails + passes)


def trials_to_decide(design: Design, limits: DropLimits, delta: float) -> tuple[int, float]:
    """Return the fewest trials per case that decide with the wanted chance, and that chance.

    If no number up to 20 does, return the best of them and its chance.
    """
    # An inconclusive run needs at least one more trial.
    fewest = round(design.trials) + 1
    more = range(fewest, max(fewest, MAX_TRIALS) + 1)
    chances = [(trials, chance_to_decide(design, limits, delta, trials)) for trials in more]
    enough = (found for found in chances if found[1] >= WANTED_POWER)
    return next(enough, max(chances, key=lambda found: found[1]))
