"""A design and a true drop into how often the gate's own test decides which way, by drawing runs.

For designs so small that the normal approximation does not hold. A case's pass rates are drawn from
the Beta law with the design's mean and noise; the same draws serve every drop, so that the chance to
fail rises with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from math import floor

import numpy as np

from evalkit.compare.pairs import PairedScores
from evalkit.core.eval_set import Case, Rule
from evalkit.core.literals import Outcome
from evalkit.core.run import MetricInfo
from evalkit.gate.evidence import decide_paired
from evalkit.gate.paired import measure_change
from evalkit.stats.distributions import Floats
from evalkit.stats.group_sequential import alpha_at_look
from evalkit.stats.power import WANTED_POWER, Design, DropLimits

DRAWS = 200
"""Runs drawn for a chance: one of 80 % is then known to 3 points (one standard error)."""

MIN_CASES_FOR_FORMULA = 30
"""Below this many cases the formula strays by up to 50 points: 80 % for 30 % at 5 cases, one trial
against one. From here on it is within 10, and mostly below the truth (400 draws each)."""

_BISECTION_STEPS = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedOutcomes:
    """The shares of the drawn runs that the gate's test failed and passed, and their trials of a case."""

    failed: float
    passed: float
    trials: float


def draw_rates(design: Design, rng: np.random.Generator) -> Floats:
    """Pass rates of the cases, shape (cases,): Beta with this mean and this mean of p(1-p)."""
    room = design.mean * (1 - design.mean)
    if design.noise >= room:
        return np.full(design.cases, design.mean)
    size = design.noise / (room - design.noise)
    return rng.beta(design.mean * size, (1 - design.mean) * size, design.cases)


def _pair_scores(cases: tuple[Case, ...], before: Floats, after: Floats) -> PairedScores:
    return PairedScores(
        info=MetricInfo(name="passed"),
        cases=cases,
        base=tuple(map(tuple, before.tolist())),
        candidate=tuple(map(tuple, after.tolist())),
    )


def _make_rule(design: Design, demand: DropLimits) -> Rule:
    return Rule(
        metric="passed",
        stat="rate",
        max_drop=demand.max_drop,
        margin=demand.tolerated,
        alpha=demand.alpha,
        estimand="suite" if design.clusters is None else "users",
    )


def _make_cases(design: Design) -> tuple[Case, ...]:
    """The cases, evenly spread over the clusters."""
    clusters = None if design.clusters is None else max(1, round(design.clusters))
    return tuple(
        Case(id=str(number), input="", cluster=str(number % clusters) if clusters else None)
        for number in range(design.cases)
    )


def draw_outcomes(
    design: Design, demand: DropLimits, drop: float, seed: int
) -> Iterator[tuple[Outcome, int]]:
    """Draw runs in which every pass rate fell by the share drop / mean, and decide each, for ever.

    Beside each outcome stands how many trials of every case it took.
    """
    rng = np.random.default_rng(seed)
    cases = _make_cases(design)
    base_trials, trials = round(design.base_trials), round(design.trials)
    looks = range(1, design.looks + 1) if design.looks else (trials,)
    rules = {
        look: _make_rule(
            design,
            replace(demand, alpha=alpha_at_look(demand.alpha, look)) if design.looks else demand,
        )
        for look in looks
    }
    while True:
        rates = draw_rates(design, rng)[:, np.newaxis]
        before = rng.random((design.cases, base_trials)) < rates
        after = rng.random((design.cases, trials)) < rates * (1 - drop / design.mean)
        for taken in looks:
            pairs = _pair_scores(cases, before.astype(float), after[:, :taken].astype(float))
            outcome = decide_paired(measure_change(rules[taken], pairs))
            if outcome != "inconclusive":
                break
        yield outcome, taken


def simulate_gate(
    design: Design, demand: DropLimits, drop: float, *, seed: int, draws: int = DRAWS
) -> SimulatedOutcomes:
    """How often a true drop, 0 for none, is failed and how often it passes."""
    drawn = list(islice(draw_outcomes(design, demand, drop, seed), draws))
    found = Counter(outcome for outcome, _ in drawn)
    return SimulatedOutcomes(
        failed=found["fail"] / draws,
        passed=found["pass"] / draws,
        trials=sum(taken for _, taken in drawn) / draws,
    )


def _reaches_power(design: Design, demand: DropLimits, drop: float, seed: int) -> bool:
    """Whether the drawn runs reach the wanted chance to fail; stops when the rest cannot change that."""
    most_missed = floor((1 - WANTED_POWER) * DRAWS + 1e-9)
    missed = 0
    for number, (outcome, _) in enumerate(islice(draw_outcomes(design, demand, drop, seed), DRAWS)):
        missed += outcome != "fail"
        if missed > most_missed:
            return False
        if number + 1 - missed >= DRAWS - most_missed:
            return True
    return True


def simulate_detectable_drop(design: Design, demand: DropLimits, *, seed: int) -> float | None:
    """The smallest drop failed with the wanted chance, by bisection; None when not even the largest is."""
    if design.mean <= 0 or not _reaches_power(design, demand, design.mean, seed):
        return None
    low, high = 0.0, design.mean
    for _ in range(_BISECTION_STEPS):
        middle = (low + high) / 2
        low, high = (
            (low, middle) if _reaches_power(design, demand, middle, seed) else (middle, high)
        )
    return high
