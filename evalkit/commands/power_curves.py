"""Compute what designs can detect, and what it would take to detect more.

By formula where that holds, by drawing normal results where there are looks, and by the gate's own test on
simulated runs where there are too few cases for either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from evalkit.core.errors import InvalidInput
from evalkit.gate.simulation import MIN_CASES_FOR_FORMULA, simulate_detectable_drop, simulate_gate
from evalkit.report.power import DetectableDrop, RequiredSize
from evalkit.stats.group_sequential import simulate_looks
from evalkit.stats.power import (
    WANTED_POWER,
    Design,
    DropLimits,
    chance_to_fail,
    find_detectable_drop,
)
from evalkit.stats.sample_size import chance_to_pass, find_min_cases, find_min_trials

MAX_CANDIDATE_TRIALS = 5
"""Beyond five candidate trials of a case, more cases are the better buy."""

ENOUGH_POWER = WANTED_POWER - 1e-9
"""The chance to pass approaches the wanted one from below where an inconclusive result bounds it."""

SIMULATION_SEED = 0
"""Fixed, so that the same question has the same answer."""


def is_small(design: Design) -> bool:
    """Return whether there are too few cases, or clusters, for the formula."""
    return min(design.cases, design.clusters or design.cases) < MIN_CASES_FOR_FORMULA


def compute_detection_chance(design: Design, demand: DropLimits, drop: float) -> float:
    """Return how often a design fails a true drop."""
    if is_small(design):
        return simulate_gate(design, demand, drop, seed=SIMULATION_SEED).failed
    if design.looks:
        return simulate_looks(design, demand, drop).failed
    return chance_to_fail(design, demand, drop)


def _simulate_unchanged(design: Design, demand: DropLimits) -> tuple[float, float]:
    """Return how often an unchanged agent passes, and how many trials of a case that takes."""
    if is_small(design):
        simulated = simulate_gate(design, demand, 0.0, seed=SIMULATION_SEED)
        return simulated.passed, simulated.trials
    if design.looks:
        looked = simulate_looks(design, demand, 0.0)
        return looked.passed, looked.trials
    return chance_to_pass(design, demand), design.trials


def compute_detectable_drop(
    design: Design, demand: DropLimits, cost_per_run_usd: float | None, *, now: bool
) -> DetectableDrop:
    """Return what one design detects; `now` if it is what the set has."""
    small = is_small(design)
    pass_chance, mean_trials = _simulate_unchanged(design, demand)
    return DetectableDrop(
        cases=design.cases,
        base_trials=design.base_trials,
        trials=round(design.trials),
        smallest_drop=simulate_detectable_drop(design, demand, seed=SIMULATION_SEED)
        if small
        else find_detectable_drop(design, demand, chance=compute_detection_chance),
        pass_chance=pass_chance,
        cost_usd=None
        if cost_per_run_usd is None
        else cost_per_run_usd * design.cases * mean_trials,
        looks=design.looks,
        mean_trials=mean_trials,
        now=now,
        simulated=small,
    )


def with_cases(design: Design, cases: int) -> Design:
    """Return the same design with more or fewer cases, in clusters of the same size."""
    clusters = design.clusters
    if clusters is not None:
        clusters *= cases / design.cases
    return replace(design, cases=cases, clusters=clusters)


def _find_required_size(
    design: Design, drop: float, chance_of: Callable[[Design], float]
) -> RequiredSize:
    """Return what raises a chance to the wanted one; nothing more where the design has it already."""
    chance = chance_of(design)
    if chance >= ENOUGH_POWER:
        return RequiredSize(
            drop=drop,
            chance=chance,
            cases=design.cases,
            trials=round(design.trials),
            cases_at_most_trials=design.cases,
        )

    def suffices(other: Design) -> bool:
        return chance_of(_with_clusters_of(design, other)) >= ENOUGH_POWER

    # An explicit number of trials rules out looks.
    fixed = replace(design, looks=0)
    most = replace(fixed, trials=max(MAX_CANDIDATE_TRIALS, design.trials))
    return RequiredSize(
        drop=drop,
        chance=chance,
        cases=find_min_cases(design, suffices),
        trials=find_min_trials(fixed, suffices),
        cases_at_most_trials=find_min_cases(most, suffices),
    )


def _with_clusters_of(design: Design, other: Design) -> Design:
    """Return the other design, with clusters of the same size as this one's."""
    return replace(other, clusters=with_cases(design, other.cases).clusters)


def find_size_to_detect(design: Design, demand: DropLimits, drop: float) -> RequiredSize:
    """Return what it takes to fail a drop 4 times in 5.

    Raises:
        InvalidInput: the drop is larger than the mean.
    """
    if drop > design.mean:
        raise InvalidInput.single(
            f"--drop {drop:g} is larger than the share that passes, {design.mean:.3g}."
        )
    return _find_required_size(
        design, drop, lambda other: compute_detection_chance(other, demand, drop)
    )


def find_size_to_certify(design: Design, demand: DropLimits, tolerated: float) -> RequiredSize:
    """Return what it takes to prove, 4 times in 5, that an unchanged agent is within a tolerated drop."""
    limits = replace(demand, tolerated=tolerated, max_drop=min(demand.max_drop, tolerated))
    return _find_required_size(
        design, tolerated, lambda other: _simulate_unchanged(other, limits)[0]
    )
