"""Estimate how often all looks of a run together fail an agent, changed or not."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import floor, log10

from evalkit.core.run import RunHeader
from evalkit.gate.evidence import Evidence
from evalkit.stats.group_sequential import alpha_at_look, simulate_looks
from evalkit.stats.power import WANTED_POWER, Design, DropLimits

_BISECTION_STEPS = 10
"""The detectable drop is then accurate to 1/1024 of the mean pass rate."""


def with_look_odds(evidence: Evidence, header: RunHeader) -> Evidence:
    """Return the evidence at one look of a run, with its part of alpha, with the odds of all looks together.

    It is unchanged if the number of trials was fixed, and if it has no design.
    """
    looks = header.looks
    if not looks or evidence.design is None or evidence.detectable_harm is None:
        return evidence
    whole = evidence.limits.alpha / alpha_at_look(1.0, header.trials)
    # Rounded, so that resampled runs share the simulation: the result is an approximation anyway.
    design = replace(
        evidence.design,
        trials=looks,
        looks=looks,
        base_trials=round(evidence.design.base_trials, 1),
        mean=max(round(evidence.design.mean, 2), 0.01),
        noise=_round(evidence.design.noise),
    )
    false_alarm, detectable = _simulate_odds(design, replace(evidence.limits, alpha=whole))
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
