"""Estimate how often a whole run fails or passes an agent, over all the looks that it may take."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import floor, log10

from evalkit.gate.evidence import Evidence
from evalkit.gate.simulation import MIN_CASES_FOR_FORMULA, simulate_gate
from evalkit.stats.group_sequential import SequentialOutcomes, simulate_looks
from evalkit.stats.power import WANTED_POWER, Design, DropLimits, chance_to_fail
from evalkit.stats.sample_size import chance_to_pass

SIMULATION_SEED = 0
"""Fixed, so that the same input gives the same result."""

_BISECTION_STEPS = 10
"""The detectable drop is then accurate to 1/1024 of the mean pass rate."""


def is_small(design: Design) -> bool:
    """Return whether there are too few cases, or clusters, for a formula."""
    return min(design.cases, design.clusters or design.cases) < MIN_CASES_FOR_FORMULA


def simulate_unchanged(design: Design, limits: DropLimits) -> SequentialOutcomes:
    """Return how often an unchanged agent fails and passes, and the mean number of trials per case."""
    if is_small(design):
        return simulate_gate(design, limits, 0.0, seed=SIMULATION_SEED)
    if design.looks:
        return simulate_looks(design, limits, 0.0)
    failed = chance_to_fail(design, limits, 0.0) if design.mean > 0 else 0.0
    return SequentialOutcomes(
        failed=failed, passed=chance_to_pass(design, limits), trials=design.trials
    )


def with_look_odds(evidence: Evidence, looks: int, alpha: float) -> Evidence:
    """Return the evidence of one look with the odds of all looks together.

    Args:
        evidence: the evidence at one look.
        looks: the largest number of looks; 0 if the number of trials was fixed.
        alpha: the level of all looks together.
    """
    if not looks or evidence.design is None or evidence.detectable_harm is None:
        return evidence
    # Rounded, so that resampled runs share the simulation: the result is an approximation anyway.
    design = replace(
        evidence.design,
        trials=looks,
        looks=looks,
        base_trials=round(evidence.design.base_trials, 1),
        mean=max(round(evidence.design.mean, 2), 0.01),
        noise=_round(evidence.design.noise),
    )
    false_alarm, detectable = _simulate_odds(design, replace(evidence.limits, alpha=alpha))
    return replace(evidence, looks=looks, false_alarm=false_alarm, detectable_harm=detectable)


def _round(noise: float) -> float:
    return round(noise, 1 - floor(log10(noise))) if noise > 0 else noise


@lru_cache(maxsize=512)
def _simulate_odds(design: Design, limits: DropLimits) -> tuple[float, float | None]:
    """Return how often an unchanged agent fails, and the smallest drop that fails 4 times in 5."""
    false_alarm = simulate_looks(design, limits, 0.0).failed
    if simulate_looks(design, limits, design.mean).failed < WANTED_POWER:
        return false_alarm, None
    low, high = 0.0, design.mean
    for _ in range(_BISECTION_STEPS):
        middle = (low + high) / 2
        found = simulate_looks(design, limits, middle).failed >= WANTED_POWER
        low, high = (low, middle) if found else (middle, high)
    return false_alarm, high
