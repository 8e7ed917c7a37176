"""Find how many cases and trials a comparison needs to detect a drop or to rule it out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import floor, inf
from statistics import NormalDist

from evalkit.stats.distributions import t_quantile
from evalkit.stats.power import LEANING_ALPHA, MAX_TRIALS, Design, DropLimits, z_quantile

MAX_ADVISED_CASES = 100_000
"""Nobody would label more prompts than this."""


def critical_value(design: Design, alpha: float) -> float:
    """Return how many standard errors an interval reaches on each side; with few clusters it is more."""
    if design.clusters is None:
        return z_quantile(alpha)
    freedom = floor(design.clusters) - 1
    return t_quantile(alpha, freedom) if freedom > 0 else inf


def chance_to_pass(design: Design, limits: DropLimits) -> float:
    """Return how often an unchanged agent is proven to be no worse than `limits.tolerated`.

    This is Phi((tolerated - z SE') / SE), with SE' the standard error of an agent with that drop. It is at
    most the chance that the result shows no large drop that may be real, because such a result does not
    pass, however narrow its interval is.
    """
    reach = critical_value(design, limits.alpha) * design.se_bound_after(limits.tolerated)
    unsuspected = max(limits.max_drop / design.se, z_quantile(LEANING_ALPHA))
    return NormalDist().cdf(min((limits.tolerated - reach) / design.se, unsuspected))


def find_min_cases(design: Design, suffices: Callable[[Design], bool]) -> int | None:
    """Return the fewest cases, at least those of the design, that suffice; None if no number does."""
    few, enough = design.cases - 1, design.cases
    while not suffices(replace(design, cases=enough)):
        few, enough = enough, 2 * enough
        if few >= MAX_ADVISED_CASES:
            return None
    return _bisect(few, enough, lambda cases: suffices(replace(design, cases=cases)))


def find_min_trials(design: Design, suffices: Callable[[Design], bool]) -> int | None:
    """Return the fewest candidate trials per case that suffice; None if 20 do not."""
    if not suffices(replace(design, trials=MAX_TRIALS)):
        return None
    return _bisect(0, MAX_TRIALS, lambda trials: suffices(replace(design, trials=trials)))


def _bisect(few: int, enough: int, suffices: Callable[[int], bool]) -> int:
    """Return the smallest number above `few` that suffices; `enough` must suffice."""
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if suffices(middle) else (middle, enough)
    return enough
