"""Compute which drops designs can detect, and what it takes to detect smaller ones.

Use a formula where it is accurate. With looks, simulate normally distributed results instead. With too few
cases for both, apply the gate's own test to simulated runs.
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
from evalkit.stats.unchanged import find_trials_to_pass, simulate_unchanged

MAX_CANDIDATE_TRIALS = 5
"""Maximum number of candidate trials per case. Beyond it, more cases help more at the same cost."""

ENOUGH_POWER = WANTED_POWER - 1e-9
"""The wanted power with a tolerance: an inconclusive result can keep the chance just below it."""

SIMULATION_SEED = 0
"""Fixed, so that the same input gives the same result."""


def is_small(design: Design) -> bool:
    """Return whether there are too few cases, or clusters, for the formula."""
    return min(design.cases, design.clusters or design.cases) < MIN_CASES_FOR_FORMULA


def compute_detection_chance(design: Design, limits: DropLimits, drop: float) -> float:
    """Return the chance that a design fails on a true drop."""
    if is_small(design):
        return simulate_gate(design, limits, drop, seed=SIMULATION_SEED).failed
    if design.looks:
        return simulate_looks(design, limits, drop).failed
    return chance_to_fail(design, limits, drop)


def _simulate_unchanged(design: Design, limits: DropLimits) -> tuple[float, float]:
    """Return the chance that an unchanged agent passes, and the mean number of trials per case."""
    if design.clusters is None:
        return simulate_unchanged(design, limits)
    if is_small(design):
        simulated = simulate_gate(design, limits, 0.0, seed=SIMULATION_SEED)
        return simulated.passed, simulated.trials
    if design.looks:
        looked = simulate_looks(design, limits, 0.0)
        return looked.passed, looked.trials
    return chance_to_pass(design, limits), design.trials


def compute_detectable_drop(
    design: Design,
    limits: DropLimits,
    cost_per_run_usd: float | None,
    *,
    now: bool,
    proof: DropLimits | None = None,
) -> DetectableDrop:
    """Return the drop that a design detects; `now` marks the design that the set has.

    `proof` has the limits of a pass if they differ: its interval has the whole alpha of the threshold,
    while other thresholds share that of a failure.
    """
    small = is_small(design)
    pass_chance, mean_trials = _simulate_unchanged(design, proof or limits)
    return DetectableDrop(
        cases=design.cases,
        base_trials=design.base_trials,
        trials=round(design.trials),
        smallest_drop=simulate_detectable_drop(design, limits, seed=SIMULATION_SEED)
        if small
        else find_detectable_drop(design, limits, chance=compute_detection_chance),
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
    """Return the size that raises a chance to the wanted power; the design's own if it suffices."""
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


def find_size_to_detect(design: Design, limits: DropLimits, drop: float) -> RequiredSize:
    """Return the size that fails a drop 4 times in 5.

    Raises:
        InvalidInput: the drop is larger than the mean.
    """
    if drop > design.mean:
        raise InvalidInput.single(
            f"--drop {drop:g} is larger than the share that passes, {design.mean:.3g}."
        )
    return _find_required_size(
        design, drop, lambda other: compute_detection_chance(other, limits, drop)
    )


def find_size_to_certify(design: Design, limits: DropLimits, tolerated: float) -> RequiredSize:
    """Return the size that proves, 4 times in 5, that an unchanged agent is within a tolerated drop."""
    tighter = replace(limits, tolerated=tolerated, max_drop=min(limits.max_drop, tolerated))
    size = _find_required_size(
        design, tolerated, lambda other: _simulate_unchanged(other, tighter)[0]
    )
    if design.clusters is not None or size.chance >= ENOUGH_POWER:
        return size
    plan = find_trials_to_pass(design, tighter)
    return replace(size, trials=plan.trials if plan.is_enough else None)
