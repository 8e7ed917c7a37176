"""Estimate how often the gate's test fails or passes a true drop, by simulating runs.

This is for designs that are too small for the normal approximation. The pass rates of cases are drawn from
the Beta distribution with the mean and the noise of the design. Every drop uses the same draws, so that the
chance to fail increases with the drop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from math import floor

import numpy as np

from evalkit.compare.paired_scores import CaseRerun, PairedScores
from evalkit.core.eval_set import Case, Rule
from evalkit.core.literals import Outcome
from evalkit.core.run import MetricInfo
from evalkit.gate.evidence import decide_paired
from evalkit.gate.paired import measure_change
from evalkit.stats.distributions import Bools
from evalkit.stats.group_sequential import SequentialOutcomes, alpha_at_look, list_looks
from evalkit.stats.power import WANTED_POWER, Design, DropLimits
from evalkit.stats.unchanged import draw_rates

DRAWS = 200
"""The number of simulated runs. The standard error of a chance of 80 % is then 3 points."""

MIN_CASES_FOR_FORMULA = 30
"""With fewer cases the formula is wrong by up to 50 points: 80 % instead of 30 % at 5 cases with one trial
each. From this number on its error is at most 10 points, and it is mostly too low (400 draws each)."""

_BISECTION_STEPS = 7
"""The result is then accurate to 1/128 of the mean pass rate."""


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
    """Return cases that are evenly divided among the clusters."""
    clusters = None if design.clusters is None else max(1, round(design.clusters))
    return tuple(
        Case(id=str(number), input="", cluster=str(number % clusters) if clusters else None)
        for number in range(design.cases)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnScores(PairedScores):
    """Scores of drawn trials; `taken` is the number of candidate trials that a run would have taken."""

    taken: int


def draw_outcomes(
    design: Design, limits: DropLimits, drop: float, seed: int
) -> Iterator[tuple[Outcome, float]]:
    """Simulate and decide runs in which every pass rate fell by the share drop / mean, without end.

    Yields the outcome of each run and the mean number of trials per case that it took.
    """
    rng = np.random.default_rng(seed)
    cases = _make_cases(design)
    base_trials, trials = round(design.base_trials), round(design.trials)
    looks = list_looks(design.looks) if design.looks else (trials,)
    rules = {
        look: _make_rule(
            design,
            replace(limits, alpha=alpha_at_look(limits.alpha, look)) if design.looks else limits,
        )
        for look in looks
    }
    while True:
        rates = draw_rates(design, rng, 1)[0][:, np.newaxis]
        before = rng.random((design.cases, base_trials)) < rates
        after = rng.random((design.cases, trials)) < rates * (1 - drop / design.mean)
        for taken in looks:
            pairs = pair_at_look(cases, before, after[:, :taken], chooses=design.looks > 0)
            outcome = decide_paired(measure_change(rules[taken], pairs))
            if outcome != "inconclusive":
                break
        yield outcome, pairs.taken / design.cases


def pair_at_look(
    cases: tuple[Case, ...], base: Bools, candidate: Bools, *, chooses: bool
) -> DrawnScores:
    """Return drawn trials, shape (cases, trials), as the gate reads them after a look.

    With `chooses`, cases that never passed, in the baseline or their first trial, took no other trial, as in
    `reruns.plan_next_look`.
    """
    before, now = (trials.astype(float).tolist() for trials in (base, candidate))
    most = candidate.shape[1]
    is_chosen = chooses and most > 1
    known: list[bool] = np.any(base, axis=1).tolist() if is_chosen else [True] * len(cases)
    counted, reruns, taken = [], [], 0
    for row, first, passed_before in zip(before, now, known, strict=True):
        again = passed_before or first[0] > 0
        extra = tuple(first[1:]) if again and not passed_before else ()
        used = tuple(first) if passed_before else (first[0],)
        passed = round(sum(row) + sum(used) + sum(extra))
        marked = passed if is_chosen and again else 0
        counted.append(used)
        reruns.append(CaseRerun(extra=extra, marked=marked, marked_passed=marked))
        taken += len(used) + len(extra)
    return DrawnScores(
        info=MetricInfo(name="passed"),
        cases=cases,
        base=tuple(map(tuple, before)),
        candidate=tuple(counted),
        reruns=tuple(reruns) if is_chosen else (),
        taken=taken,
    )


def simulate_gate(
    design: Design, limits: DropLimits, drop: float, *, seed: int, draws: int = DRAWS
) -> SequentialOutcomes:
    """Return how often a true drop fails and passes; 0 is an unchanged agent."""
    drawn = list(islice(draw_outcomes(design, limits, drop, seed), draws))
    found = Counter(outcome for outcome, _ in drawn)
    return SequentialOutcomes(
        failed=found["fail"] / draws,
        passed=found["pass"] / draws,
        trials=sum(taken for _, taken in drawn) / draws,
    )


def _reaches_power(design: Design, limits: DropLimits, drop: float, seed: int) -> bool:
    """Return whether enough simulated runs fail; stop as soon as the answer is certain."""
    # The added 1e-9 absorbs rounding.
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
    """Return the smallest drop that fails with the wanted chance; None if not even the largest does."""
    if design.mean <= 0 or not _reaches_power(design, limits, design.mean, seed):
        return None
    low, high = 0.0, design.mean
    for _ in range(_BISECTION_STEPS):
        middle = (low + high) / 2
        low, high = (
            (low, middle) if _reaches_power(design, limits, middle, seed) else (middle, high)
        )
    return high
