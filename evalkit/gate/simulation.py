"""Estimate how often the gate's own test fails or passes a true drop, by drawing runs.

It is for designs so small that the normal approximation does not hold. The cases' pass rates are drawn
from the Beta distribution with the design's mean and noise. The same draws serve every drop, so that the
chance to fail rises with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
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
from evalkit.stats.group_sequential import SequentialOutcomes, alpha_at_look
from evalkit.stats.power import WANTED_POWER, Design, DropLimits

DRAWS = 200
"""Runs drawn for a chance: a chance of 80 % is then known to 3 points (one standard error)."""

MIN_CASES_FOR_FORMULA = 30
"""Below this many cases the formula is off by up to 50 points: 80 % instead of 30 % at 5 cases and one
trial each. From here on it is within 10, and mostly below the truth (400 draws each)."""

_BISECTION_STEPS = 7
"""A drop is then known to 1/128 of the mean pass rate."""


def draw_rates(design: Design, rng: np.random.Generator) -> Floats:
    """Draw pass rates of the cases, shape (cases,): Beta with this mean and this mean of p(1-p)."""
    largest = design.mean * (1 - design.mean)
    # Noise at its maximum means that all cases have the same rate.
    if design.noise >= largest:
        return np.full(design.cases, design.mean)
    size = design.noise / (largest - design.noise)
    return rng.beta(design.mean * size, (1 - design.mean) * size, design.cases)


def _make_rule(design: Design, limits: DropLimits) -> Rule:
    return Rule(
        metric="passed",
        stat="rate",
        max_drop=limits.max_drop,
        margin=limits.tolerated,
        alpha=limits.alpha,
        estimand="suite" if design.clusters is None else "users",
    )


def _make_cases(design: Design) -> tuple[Case, ...]:
    """Return the cases, evenly spread over the clusters."""
    clusters = None if design.clusters is None else max(1, round(design.clusters))
    return tuple(
        Case(id=str(number), input="", cluster=str(number % clusters) if clusters else None)
        for number in range(design.cases)
    )


def draw_outcomes(
    design: Design, limits: DropLimits, drop: float, seed: int
) -> Iterator[tuple[Outcome, int]]:
    """Draw runs in which every pass rate fell by the share drop / mean, and decide each; never ends.

    Yields each outcome with the number of trials of every case that it took.
    """
    rng = np.random.default_rng(seed)
    cases = _make_cases(design)
    base_trials, trials = round(design.base_trials), round(design.trials)
    looks = range(1, design.looks + 1) if design.looks else (trials,)
    rules = {
        look: _make_rule(
            design,
            replace(limits, alpha=alpha_at_look(limits.alpha, look)) if design.looks else limits,
        )
        for look in looks
    }
    while True:
        rates = draw_rates(design, rng)[:, np.newaxis]
        before = rng.random((design.cases, base_trials)) < rates
        after = rng.random((design.cases, trials)) < rates * (1 - drop / design.mean)
        for taken in looks:
            pairs = PairedScores(
                info=MetricInfo(name="passed"),
                cases=cases,
                base=tuple(map(tuple, before.astype(float).tolist())),
                candidate=tuple(map(tuple, after[:, :taken].astype(float).tolist())),
            )
            outcome = decide_paired(measure_change(rules[taken], pairs))
            if outcome != "inconclusive":
                break
        yield outcome, taken


def simulate_gate(
    design: Design, limits: DropLimits, drop: float, *, seed: int, draws: int = DRAWS
) -> SequentialOutcomes:
    """Return how often a true drop, 0 for none, fails and how often it passes."""
    drawn = list(islice(draw_outcomes(design, limits, drop, seed), draws))
    found = Counter(outcome for outcome, _ in drawn)
    return SequentialOutcomes(
        failed=found["fail"] / draws,
        passed=found["pass"] / draws,
        trials=sum(taken for _, taken in drawn) / draws,
    )


def _reaches_power(design: Design, limits: DropLimits, drop: float, seed: int) -> bool:
    """Return whether the drawn runs reach the wanted chance to fail; stop when that is certain."""
    # The addend absorbs rounding.
    most_missed = floor((1 - WANTED_POWER) * DRAWS + 1e-9)
    missed = 0
    for number, (outcome, _) in enumerate(islice(draw_outcomes(design, limits, drop, seed), DRAWS)):
        missed += outcome != "fail"
        if missed > most_missed:
            return False
        if number + 1 - missed >= DRAWS - most_missed:
            return True
    return True


def simulate_detectable_drop(design: Design, limits: DropLimits, *, seed: int) -> float | None:
    """Return the smallest drop that fails with the wanted chance; None when not even the largest does."""
    if design.mean <= 0 or not _reaches_power(design, limits, design.mean, seed):
        return None
    low, high = 0.0, design.mean
    for _ in range(_BISECTION_STEPS):
        middle = (low + high) / 2
        low, high = (
            (low, middle) if _reaches_power(design, limits, middle, seed) else (middle, high)
        )
    return high
