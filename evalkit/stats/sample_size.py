"""What a comparison is wanted to see or to prove into the cases and trials that takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import floor, inf
from statistics import NormalDist

from evalkit.stats.intervals import t_quantile
from evalkit.stats.power import LEANING_ALPHA, Design, DropLimits, z_quantile

MAX_ADVISED_CASES = 100_000
"""More labelled prompts than this are no advice."""

MAX_ADVISED_TRIALS = 20
"""More trials of every case than this cost more than further cases would."""

_PHI = NormalDist().cdf


def critical_value(design: Design, alpha: float) -> float:
    """How many standard errors an interval reaches: more where few clusters must tell their own spread."""
    if design.clusters is None:
        return z_quantile(alpha)
    freedom = floor(design.clusters) - 1
    return t_quantile(alpha, freedom) if freedom > 0 else inf


def chance_to_pass(design: Design, demand: DropLimits) -> float:
    """How often an agent that did not change is proven to be no worse than what is tolerated.

    Phi((tolerated - z SE') / SE) with SE' that of an agent which lost what is tolerated, but never more
    often than the result shows no large drop that leans towards being real: such a result is not
    passed, however narrow its interval.
    """
    room = critical_value(design, demand.alpha) * design.se_bound_after(demand.tolerated)
    reach = (demand.tolerated - room) / design.se
    unsuspected = max(demand.max_drop / design.se, z_quantile(LEANING_ALPHA))
    return _PHI(min(reach, unsuspected))


def find_min_cases(design: Design, suffices: Callable[[Design], bool]) -> int | None:
    """The fewest cases, no fewer than the design has, that suffice; None when no number does."""
    few, enough = design.cases - 1, design.cases
    while not suffices(replace(design, cases=enough)):
        few, enough = enough, 2 * enough
        if few >= MAX_ADVISED_CASES:
            return None
    while enough - few > 1:
        middle = (few + enough) // 2
        if suffices(replace(design, cases=middle)):
            enough = middle
        else:
            few = middle
    return enough


def find_min_trials(design: Design, suffices: Callable[[Design], bool]) -> int | None:
    """The fewest candidate trials a case, with all else as it is, that suffice; None when none do."""
    few, enough = 0, MAX_ADVISED_TRIALS
    if not suffices(replace(design, trials=enough)):
        return None
    while enough - few > 1:
        middle = (few + enough) // 2
        if suffices(replace(design, trials=middle)):
            enough = middle
        else:
            few = middle
    return enough
