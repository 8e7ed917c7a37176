"""What a paired comparison of pass rates can see: sizes and noise into odds, by normal approximation.

Write w for the mean over cases of p(1-p) before the drop and w1 after it. The test's threshold is
set where nothing changed, the result scatters as it does after the drop; taking w for both, which is
usual, overstates the power by up to 25 points when pass rates are high.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite, sqrt
from statistics import NormalDist

WANTED_POWER = 0.80
"""The usual convention for "would have been seen" (Cohen 1988)."""

LEANING = 0.20
"""The one-sided level at which data lean towards harm, proven or not."""

_PHI = NormalDist().cdf
_MOST_TRIALS = 20


def z_of(alpha: float) -> float:
    """The normal quantile that is exceeded with probability `alpha`."""
    return -NormalDist().inv_cdf(alpha)


@dataclass(frozen=True, kw_only=True, slots=True)
class Design:
    """The sizes of a comparison and the noise it meets.

    `trials` and `base_trials` are per case (harmonic means where cases differ), `mean` is the
    baseline's mean pass rate, `noise` is w.
    """

    cases: int
    base_trials: float
    trials: float
    mean: float
    noise: float

    @property
    def se(self) -> float:
        """Standard error of the difference of mean pass rates when nothing changed."""
        return sqrt(self.noise * (1 / self.trials + 1 / self.base_trials) / self.cases)

    def noise_after(self, drop: float) -> float:
        """The mean trial variance after every pass rate fell by the share drop / mean."""
        kept = 1 - drop / self.mean
        square = self.mean - self.noise  # the mean of p squared
        return kept * (self.mean - kept * square)


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """What a rule asks: a drop is failed from `max_drop` on at level `alpha`; `tolerated` bounds a pass."""

    alpha: float
    max_drop: float
    tolerated: float


def chance_to_fail(design: Design, demand: Demand, drop: float) -> float:
    """How often a true drop in the mean pass rate (0 < drop <= mean) is failed."""
    after = design.noise_after(drop)
    before = design.noise
    per_trial = 1 / design.trials + 1 / design.base_trials
    # The test pools both runs, so each weighs in its noise by its trials.
    share = design.trials / (design.trials + design.base_trials)
    pooled = (1 - share) * before + share * after
    threshold = z_of(demand.alpha) * sqrt(pooled * per_trial / design.cases)
    scatter = sqrt((after / design.trials + before / design.base_trials) / design.cases)
    return _PHI((drop - max(threshold, demand.max_drop)) / scatter)


def smallest_drop(design: Design, demand: Demand, *, power: float = WANTED_POWER) -> float | None:
    """The smallest drop that is failed with the given chance; None when not even the largest is."""
    if design.mean <= 0 or chance_to_fail(design, demand, design.mean) < power:
        return None
    low, high = 0.0, design.mean
    for _ in range(40):
        middle = (low + high) / 2
        if chance_to_fail(design, demand, middle) < power:
            low = middle
        else:
            high = middle
    return high


def smallest_shift(se: float, demand: Demand, *, power: float = WANTED_POWER) -> float | None:
    """The smallest harm that is failed with the given chance, from its standard error; None if none."""
    smallest = max(z_of(demand.alpha) * se, demand.max_drop) + z_of(1 - power) * se
    return smallest if isfinite(smallest) else None


def chance_to_decide(design: Design, demand: Demand, delta: float, trials: int) -> float:
    """How often a new run with `trials` per case would be decided, `delta` being what one run showed.

    The new result scatters around `delta` by the noise of both runs; the baseline's is shared.
    """
    planned = replace(design, trials=trials)
    scatter = sqrt(design.noise * (1 / design.trials + 1 / trials) / design.cases)
    margin = z_of(demand.alpha) * planned.se
    fails = _PHI((-max(margin, demand.max_drop) - delta) / scatter)
    # A drop that is large and leans towards being real does not pass, however narrow the interval.
    suspected = min(-demand.max_drop, -z_of(LEANING) * planned.se)
    passes = 1 - _PHI((max(margin - demand.tolerated, suspected) - delta) / scatter)
    return min(1.0, fails + passes)


def trials_to_decide(design: Design, demand: Demand, delta: float) -> tuple[int, float]:
    """The fewest trials per case that would decide with the wanted chance, and that chance.

    When no number up to 20 would, the best of them and its chance.
    """
    fewest = round(design.trials) + 1
    more = range(fewest, max(fewest, _MOST_TRIALS) + 1)
    chances = [(trials, chance_to_decide(design, demand, delta, trials)) for trials in more]
    enough = (found for found in chances if found[1] >= WANTED_POWER)
    return next(enough, max(chances, key=lambda found: found[1]))
