"""Simulate how often an agent that did not change passes, and find the trials that it needs.

The plan after a run, the warning before it, and `evalkit power` all use these numbers, so that they agree.
The simulated runs are decided as the gate decides real ones, all of them at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np

from evalkit.stats.distributions import Bools, Floats, Ints
from evalkit.stats.exchange_test import compare_passes
from evalkit.stats.group_sequential import (
    alpha_at_look,
    list_looks,
    simulate_looks,
)
from evalkit.stats.pass_counts import PassCounts, RerunChoice
from evalkit.stats.power import (
    LEANING_ALPHA,
    MAX_TRIALS,
    REFINEMENTS,
    WANTED_POWER,
    Design,
    DropLimits,
    z_quantile,
)
from evalkit.stats.sample_size import chance_to_pass

DRAWS = 400
"""The number of simulated runs. The standard error of a chance of 80 % is then 2 points."""

MAX_SIMULATED_CASES = 300
"""With more cases the formula is as good, and the simulation takes long."""

ENOUGH = WANTED_POWER - 1e-9
"""The wanted chance, with a tolerance for rounding."""

_SEED = 20_251_130
_ROUNDING = 1e-9


class BaselineNoise(NamedTuple):
    """What baseline trials show: the mean pass rate, and the mean over cases of p(1-p).

    `seen` is the unbiased estimate, `noise` the same, but at least the .25/n that the test assumes.
    """

    mean: float
    noise: float
    seen: float


def measure_baseline(rows: Sequence[Sequence[float]]) -> BaselineNoise | None:
    """Measure 0/1 scores by case and trial; None if no case has two trials."""
    spread = [float(np.var(row, ddof=1)) for row in rows if len(row) > 1]
    if not spread:
        return None
    seen = float(np.mean(spread))
    mean = float(np.mean([np.mean(row) for row in rows]))
    return BaselineNoise(mean=mean, noise=max(seen, 0.25 / len(spread)), seen=seen)


def draw_rates(design: Design, rng: np.random.Generator, draws: int) -> Floats:
    """Draw pass rates of cases, shape (draws, cases), from the Beta distribution of the design."""
    shape = (draws, design.cases)
    noise = design.noise if design.seen_noise is None else design.seen_noise
    largest = design.mean * (1 - design.mean)
    # Noise at its maximum means that all cases have the same rate; without noise a rate is 0 or 1.
    if noise >= largest:
        return np.full(shape, design.mean)
    if noise <= 0:
        return (rng.random(shape) < design.mean).astype(float)
    size = noise / (largest - noise)
    return rng.beta(design.mean * size, (1 - design.mean) * size, shape)


class UnchangedRuns(NamedTuple):
    """The share of runs of an unchanged agent that pass, and the mean number of trials per case."""

    passed: float
    trials: float


@cache
def simulate_unchanged(design: Design, limits: DropLimits) -> UnchangedRuns:
    """Return how often an unchanged agent passes; for designs without clusters.

    `limits.alpha` is the level of all looks together. With more than `MAX_SIMULATED_CASES`, use a formula.
    """
    if design.cases > MAX_SIMULATED_CASES:
        if design.looks:
            looked = simulate_looks(design, limits, 0.0)
            return UnchangedRuns(looked.passed, looked.trials)
        return UnchangedRuns(chance_to_pass(design, limits), design.trials)
    rng = np.random.default_rng(_SEED)
    rates = draw_rates(design, rng, DRAWS)
    base_trials, most = round(design.base_trials), round(design.trials)
    before = rng.binomial(base_trials, rates)
    now = rng.random((most, *rates.shape)) < rates
    looks = list_looks(design.looks) if design.looks else (most,)
    is_open = np.ones(DRAWS, dtype=bool)
    passed = taken = 0
    for look in looks:
        alpha = alpha_at_look(limits.alpha, look) if design.looks else limits.alpha
        drawn = _DrawnPasses.at_look(
            before[is_open], now[:look, is_open], base_trials, chooses=design.looks > 0
        )
        is_last = look == looks[-1]
        fails, passes = drawn.decide(replace(limits, alpha=alpha), is_last=is_last)
        ends = fails | passes | is_last
        passed += int(np.count_nonzero(passes))
        taken += int(drawn.trials[ends].sum())
        is_open[is_open] = ~ends
    return UnchangedRuns(passed / DRAWS, taken / DRAWS / design.cases)


@dataclass(frozen=True, kw_only=True, eq=False)
class _DrawnPasses:
    """Passes of simulated runs: arrays of shape (draws, cases).

    As in PassCounts, `trials` are all trials of the candidate and `counted` those of the estimate. `marked` is 0 for cases that took one trial.
    """

    base_trials: int
    before: Ints
    passed: Ints
    trials: Ints
    counted_passed: Ints
    counted: Ints
    marked: Ints | None

    @classmethod
    def at_look(cls, before: Ints, now: Bools, base_trials: int, *, chooses: bool) -> _DrawnPasses:
        """Return the counts after a look: `now` has the shape (trials, draws, cases).

        With `chooses`, cases that never passed, in the baseline or their first trial, took no other trial.
        """
        look = len(now)
        total: Ints = now.sum(axis=0)
        whole = np.full_like(before, look)
        if not chooses or look == 1:
            return cls(
                base_trials=base_trials, before=before, passed=total, trials=whole,
                counted_passed=total, counted=whole, marked=None,
            )  # fmt: skip
        first: Ints = now[0].astype(np.int64)
        known = before > 0
        again = known | now[0]
        passed = np.where(again, total, first)
        return cls(
            base_trials=base_trials,
            before=before,
            passed=passed,
            trials=np.where(again, look, 1),
            counted_passed=np.where(known, total, first),
            counted=np.where(known, look, 1),
            marked=np.where(again, before + passed, 0),
        )

    def decide(self, limits: DropLimits, *, is_last: bool) -> tuple[Bools, Bools]:
        """Return which runs fail and which pass, as `decide_paired` decides them.

        At the last look, runs that cannot pass are not tested for a failure.
        """
        rates = self.before / self.base_trials
        harm = (rates - self.counted_passed / self.counted).mean(axis=1)
        large = harm >= limits.max_drop - _ROUNDING
        bounds = self._bound_drops(harm, rates.mean(axis=1), z_quantile(limits.alpha))
        passes: Bools = bounds < limits.tolerated
        fails: Bools = np.zeros_like(passes)
        for run in np.flatnonzero(large & passes if is_last else large):
            test = compare_passes(self._counts_of(int(run)))
            if test.plain.p_value <= LEANING_ALPHA:
                passes[run] = False
                fails[run] = test.p_value <= limits.alpha
        return fails, passes

    def _bound_drops(self, harm: Floats, mean: Floats, z: float) -> Floats:
        """Return the largest drop that each run does not rule out, as `power.bound_drop` does."""
        total = self.base_trials + self.trials
        share = (self.before + self.passed) / total
        variances = total / (total - 1) * share * (1 - share)
        cases = variances.shape[1]
        noise = np.maximum(variances.mean(axis=1), 0.25 / cases)
        weights = variances + 0.25 / cases
        weights /= weights.sum(axis=1, keepdims=True)
        per_trial = (weights / self.counted).sum(axis=1)
        square = mean - noise
        bound = harm + z * np.sqrt(noise * (per_trial + 1 / self.base_trials) / cases)
        for _ in range(REFINEMENTS):
            kept = 1 - np.clip(bound, 0.0, mean) / np.where(mean > 0, mean, 1.0)
            after = np.maximum(noise, kept * (noise + square - kept * square))
            bound = harm + z * np.sqrt((after * per_trial + noise / self.base_trials) / cases)
        clipped: Floats = np.minimum(bound, 1.0)
        return clipped

    def _counts_of(self, run: int) -> PassCounts:
        choice = None
        if self.marked is not None:
            choice = RerunChoice(marked=self.marked[run], marked_passed=self.marked[run])
        return PassCounts(
            base_passed=self.before[run],
            base_trials=np.full_like(self.before[run], self.base_trials),
            passed=self.passed[run],
            trials=self.trials[run],
            choice=choice,
            counted_passed=self.counted_passed[run],
            counted_trials=self.counted[run],
        )


class PassPlan(NamedTuple):
    """A fixed number of trials per case, and how often an unchanged agent passes with it."""

    trials: int
    chance: float

    @property
    def is_enough(self) -> bool:
        """Whether the chance is the wanted one."""
        return self.chance >= ENOUGH


def find_trials_to_pass(design: Design, limits: DropLimits) -> PassPlan:
    """Return the fewest trials per case with which an unchanged agent passes 4 times in 5.

    If the design suffices, more trials than it has. If no number up to 20 suffices, 20.
    """

    def plan(trials: int) -> PassPlan:
        fixed = replace(design, looks=0, trials=trials)
        return PassPlan(trials, simulate_unchanged(fixed, limits).passed)

    # One fixed number of trials has the whole alpha, so as many as a run with looks takes may be enough.
    is_enough = simulate_unchanged(design, limits).passed >= ENOUGH
    fewest = 1 if design.looks and not is_enough else round(design.trials) + 1
    most = plan(max(fewest, MAX_TRIALS))
    plans = map(plan, range(fewest, most.trials))
    return next((one for one in plans if one.is_enough), most) if most.is_enough else most
