"""Designs and a demand into what they see and what it would take to see more.

By formula where that holds, by drawing normal results where there are looks, by the gate's own test on
drawn runs where there are too few cases for either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from evalkit.errors import InvalidInput
from evalkit.findings import Need, Sight
from evalkit.gating.simulation import SMALLEST_BY_FORMULA, simulate, smallest_drop_drawn
from evalkit.statistics.power import WANTED_POWER, Demand, Design, chance_to_fail, smallest_drop
from evalkit.statistics.sequence import play_looks
from evalkit.statistics.sizing import cases_for, chance_to_pass, trials_for

MOST_TRIALS = 5
"""Past five candidate trials a case, further cases are the better buy."""

ENOUGH = WANTED_POWER - 1e-9
"""The chance to pass approaches the wanted one from below where a leaning result is what bounds it."""

SEED = 0
"""Of the simulations, so that the same question has the same answer."""


def is_small(design: Design) -> bool:
    """Whether so few cases, or clusters, are beyond the formula."""
    return min(design.cases, design.clusters or design.cases) < SMALLEST_BY_FORMULA


def chance_to_see(design: Design, demand: Demand, drop: float) -> float:
    """How often a design fails a true drop."""
    if is_small(design):
        return simulate(design, demand, drop, seed=SEED).failed
    if design.looks:
        return play_looks(design, demand, drop).failed
    return chance_to_fail(design, demand, drop)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Unchanged:
    """How often an agent that did not change passes, and how many trials of a case that takes."""

    passed: float
    trials: float


def _treat_unchanged(design: Design, demand: Demand) -> _Unchanged:
    if is_small(design):
        tried = simulate(design, demand, 0.0, seed=SEED)
        return _Unchanged(passed=tried.passed, trials=tried.trials)
    if design.looks:
        played = play_looks(design, demand, 0.0)
        return _Unchanged(passed=played.passed, trials=played.trials)
    return _Unchanged(passed=chance_to_pass(design, demand), trials=design.trials)


def see(design: Design, demand: Demand, cost_per_run_usd: float | None, *, now: bool) -> Sight:
    """What one design sees; `now` when it is what the set has."""
    small = is_small(design)
    unchanged = _treat_unchanged(design, demand)
    return Sight(
        cases=design.cases,
        base_trials=design.base_trials,
        trials=round(design.trials),
        smallest_drop=smallest_drop_drawn(design, demand, seed=SEED)
        if small
        else smallest_drop(design, demand, chance=chance_to_see),
        pass_chance=unchanged.passed,
        cost_usd=None
        if cost_per_run_usd is None
        else cost_per_run_usd * design.cases * unchanged.trials,
        looks=design.looks,
        mean_trials=unchanged.trials,
        now=now,
        simulated=small,
    )


def with_cases(design: Design, cases: int) -> Design:
    """The same with more cases or fewer, in clusters of the same size."""
    clusters = design.clusters
    if clusters is not None:
        clusters *= cases / design.cases
    return replace(design, cases=cases, clusters=clusters)


def _need(design: Design, drop: float, chance_of: Callable[[Design], float]) -> Need:
    """What brings a chance to the wanted one; nothing more where the design has it already."""
    chance = chance_of(design)
    if chance >= ENOUGH:
        return Need(
            drop=drop,
            chance=chance,
            cases=design.cases,
            trials=round(design.trials),
            cases_at_most_trials=design.cases,
        )

    def suffices(other: Design) -> bool:
        return chance_of(with_clusters_of(design, other)) >= ENOUGH

    # Trials that are asked for are a fixed number.
    fixed = replace(design, looks=0)
    most = replace(fixed, trials=max(MOST_TRIALS, design.trials))
    return Need(
        drop=drop,
        chance=chance,
        cases=cases_for(design, suffices),
        trials=trials_for(fixed, suffices),
        cases_at_most_trials=cases_for(most, suffices),
    )


def with_clusters_of(design: Design, other: Design) -> Design:
    """The other design, with clusters of the same size as this one's."""
    return replace(other, clusters=with_cases(design, other.cases).clusters)


def need_to_see(design: Design, demand: Demand, drop: float) -> Need:
    """What it takes to fail a drop 4 times in 5.

    Raises:
        InvalidInput: there is not so much to lose.
    """
    if drop > design.mean:
        raise InvalidInput.single(
            f"--drop {drop:g} is more than there is to lose: {design.mean:.3g} pass."
        )
    return _need(design, drop, lambda other: chance_to_see(other, demand, drop))


def need_to_prove(design: Design, demand: Demand, tolerated: float) -> Need:
    """What it takes to prove an unchanged agent to be within a tolerance 4 times in 5."""
    asked = replace(demand, tolerated=tolerated, max_drop=min(demand.max_drop, tolerated))
    return _need(design, tolerated, lambda other: _treat_unchanged(other, asked).passed)
