"""Estimate how often a whole run fails or passes an agent that did not change."""

from __future__ import annotations

from evalkit.gate.simulation import MIN_CASES_FOR_FORMULA, simulate_gate
from evalkit.stats.group_sequential import SequentialOutcomes, simulate_looks
from evalkit.stats.power import Design, DropLimits, chance_to_fail
from evalkit.stats.sample_size import chance_to_pass

SIMULATION_SEED = 0
"""Fixed, so that the same input gives the same result."""


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
