"""What a paired comparison of pass rates can see: sizes and noise into odds, by normal approximation.

Write w for the mean over cases of p(1-p) before the drop and w1 after it. The test's threshold is
set where nothing changed, the result scatters as it does after the drop; taking w for both, which is
usual, overstates the power by up to 25 points when pass rates are high.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite, sqrt
from statistics import NormalDist
from typing import TypeAlias

WANTED_POWER = 0.80
"""The usual convention for "would have been seen" (Cohen 1988)."""

LEANING_ALPHA = 0.20
"""The one-sided level at which data lean towards harm, proven or not."""

_PHI = NormalDist().cdf
_MAX_TRIALS = 20


def z_quantile(alpha: float) -> float:
    """The normal quantile that is exceeded with probability `alpha`."""
    return -NormalDist().inv_cdf(alpha)


@dataclass(frozen=True, kw_only=True, slots=True)
class Design:
    """The sizes of a comparison and the noise it meets.

    `trials` and `base_trials` are per case (harmonic means where cases differ), `mean` is the
    baseline's mean pass rate, `noise` is w. With `looks`, `trials` are the most there may be: after each
    up to so many it is looked whether more are needed. With `clusters` the question is about other
    cases like these, of which the cases count as so many draws.
    """

    cases: int
    base_trials: float
    trials: float
    mean: float
    noise: float
    looks: int = 0
    clusters: float | None = None

    @property
    def se(self) -> float:
        """Standard error of the difference of mean pass rates when nothing changed."""
        return sqrt(self.noise * (1 / self.trials + 1 / self.base_trials) / self.cases)

    def noise_after(self, drop: float) -> float:
        """The mean trial variance after every pass rate fell by the share drop / mean."""
        kept = 1 - drop / self.mean
        square = self.mean - self.noise  # the mean of p squared
        return kept * (self.mean - kept * square)

    def se_bound_after(self, drop: float) -> float:
        """Standard error of the difference of means, at least, if so much had been lost.

        Pass rates near 1 that fall waver more. With the noise of no change instead, drops of what is
        said to be ruled out would be passed twice as often as the interval allows.
        """
        after = (
            max(self.noise, self.noise_after(min(drop, self.mean))) if self.mean > 0 else self.noise
        )
        return sqrt((after / self.trials + self.noise / self.base_trials) / self.cases)

    def se_after(self, drop: float) -> float:
        """Standard error of the difference of means after every pass rate fell by the share drop / mean."""
        variance = self._trial_variance(drop)
        if self.clusters is not None:
            spread = max(self.mean - self.noise - self.mean**2, 0.0)
            variance += (drop / self.mean) ** 2 * spread / self.clusters
        return sqrt(variance)

    def null_se_after(self, drop: float) -> float:
        """What the test takes for the standard error of no change, when there was such a drop.

        The exchange test pools both runs, so each weighs in its noise by its trials. Flipping signs
        takes the mean square of what cases, or clusters, lost.
        """
        if self.clusters is not None:
            square = (drop / self.mean) ** 2 * (self.mean - self.noise)
            return sqrt(self._trial_variance(drop) + square / self.clusters)
        share = self.trials / (self.trials + self.base_trials)
        pooled = (1 - share) * self.noise + share * self.noise_after(drop)
        return sqrt(pooled * (1 / self.trials + 1 / self.base_trials) / self.cases)

    def _trial_variance(self, drop: float) -> float:
        return (self.noise_after(drop) / self.trials + self.noise / self.base_trials) / self.cases


@dataclass(frozen=True, kw_only=True, slots=True)
class DropLimits:
    """What a rule asks: a drop is failed from `max_drop` on at level `alpha`; `tolerated` bounds a pass."""

    alpha: float
    max_drop: float
    tolerated: float


def chance_to_fail(design: Design, demand: DropLimits, drop: float) -> float:
    """How often a true drop in the mean pass rate (0 < drop <= mean) is failed by one look at all trials."""
    if has_too_few_clusters(design, demand):
        return 0.0
    threshold = z_quantile(demand.alpha) * design.null_se_after(drop)
    return _PHI((drop - max(threshold, demand.max_drop)) / design.se_after(drop))


def has_too_few_clusters(design: Design, demand: DropLimits) -> bool:
    """Whether so few clusters are left that even if all got worse it would be no proof."""
    return design.clusters is not None and 0.5 ** (design.clusters + 1) > demand.alpha


PowerFunction: TypeAlias = Callable[[Design, DropLimits, float], float]
"""How often a design fails a drop."""


def find_detectable_drop(
    design: Design,
    demand: DropLimits,
    *,
    power: float = WANTED_POWER,
    chance: PowerFunction = chance_to_fail,
) -> float | None:
    """The smallest drop that is failed with the given chance; None when not even the largest is."""
    if design.mean <= 0 or chance(design, demand, design.mean) < power:
        return None
    low, high = 0.0, design.mean
    for _ in range(40):
        middle = (low + high) / 2
        if chance(design, demand, middle) < power:
            low = middle
        else:
            high = middle
    return high


def find_detectable_shift(
    se: float, demand: DropLimits, *, power: float = WANTED_POWER
) -> float | None:
    """The smallest harm that is failed with the given chance, from its standard error; None if none."""
    smallest = max(z_quantile(demand.alpha) * se, demand.max_drop) + z_quantile(1 - power) * se
    return smallest if isfinite(smallest) else None


def chance_to_decide(design: Design, demand: DropLimits, delta: float, trials: int) -> float:
    """How often a new run with `trials` per case would be decided, `delta` being what one run showed.

    The new result scatters around `delta` by the noise of both runs; the baseline's is shared.
    """
    planned = replace(design, trials=trials)
    scatter = sqrt(design.noise * (1 / design.trials + 1 / trials) / design.cases)
    z = z_quantile(demand.alpha)
    fails = _PHI((-max(z * planned.se, demand.max_drop) - delta) / scatter)
    reach = z * planned.se_bound_after(demand.tolerated)
    # A drop that is large and leans towards being real does not pass, however narrow the interval.
    suspected = min(-demand.max_drop, -z_quantile(LEANING_ALPHA) * planned.se)
    passes = 1 - _PHI((max(reach - demand.tolerated, suspected) - delta) / scatter)
    return min(1.0, fails + passes)


def trials_to_decide(design: Design, demand: DropLimits, delta: float) -> tuple[int, float]:
    """The fewest trials per case that would decide with the wanted chance, and that chance.

    When no number up to 20 would, the best of them and its chance.
    """
    fewest = round(design.trials) + 1
    more = range(fewest, max(fewest, _MAX_TRIALS) + 1)
    chances = [(trials, chance_to_decide(design, demand, delta, trials)) for trials in more]
    enough = (found for found in chances if found[1] >= WANTED_POWER)
    return next(enough, max(chances, key=lambda found: found[1]))
