"""Simulate a run with several looks: how often and how soon it fails or passes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from evalkit.stats.power import (
    LEANING_ALPHA,
    Design,
    DropLimits,
    find_detectable_drop,
    has_too_few_clusters,
    z_quantile,
)
from evalkit.stats.sample_size import critical_value

DRAWS = 20_000
"""The standard error of a chance of 80 % is then .3 points."""
_SEED = 20_250_102
_BISECTION_STEPS = 10
"""The detectable drop is then accurate to 1/1024 of the mean pass rate."""

LOOK_TRIALS = (1, 2, 3, 5)
"""The candidate trials per case at each look."""

ALPHA_SHARES = (0.60, 0.40, 0.35, 0.30)
"""The shares of alpha for the looks.

Looks share most of their trials, so four looks at these levels fail an unchanged agent at most 5 % of the
time (2 to 4 % of runs resampled from recorded and synthetic agents; group sequential testing, Pocock 1977).
"""


def list_looks(most_trials: int) -> tuple[int, ...]:
    """Return the trials per case at each look of a run with at most `most_trials` of them.

    The last look takes as many as are left: a run of up to 4 trials looks after 1, 2, 3, and 4.

    >>> list_looks(4), list_looks(10)
    ((1, 2, 3, 4), (1, 2, 3, 5))
    """
    most = min(most_trials, LOOK_TRIALS[-1])
    return tuple(sorted({trials for trials in (*LOOK_TRIALS, most) if 1 <= trials <= most}))


def alpha_at_look(alpha: float, trials: int) -> float:
    """Return the level of the look after so many trials per case."""
    look = len(list_looks(trials))
    return round(alpha * ALPHA_SHARES[max(look, 1) - 1], 12)


def whole_alpha(alpha: float, trials: int) -> float:
    """Return the level of all looks together, from the level of the look after so many trials per case."""
    return round(alpha / alpha_at_look(1.0, trials), 12)


@dataclass(frozen=True, kw_only=True, slots=True)
class SequentialOutcomes:
    """The shares of runs that failed and passed, and the mean number of trials per case."""

    failed: float
    passed: float
    trials: float


def simulate_looks(design: Design, limits: DropLimits, drop: float) -> SequentialOutcomes:
    """Draw normal results at every look and end each run at the first look that decides it.

    The looks share the baseline and the earlier trials, so their results are correlated, and there is no
    formula. The seed is fixed, so that chances of similar designs can be compared. `limits.alpha` is the
    level of all looks together.
    """
    rng = np.random.default_rng(_SEED)
    after = design.noise_after(drop) / design.cases
    # The baseline and the choice of cases add noise that more trials do not reduce.
    shared = max(design.se_after(drop) ** 2 - after / design.trials, 0.0)
    fixed = shared**0.5 * rng.standard_normal(DRAWS)
    passes = np.zeros(DRAWS)
    is_open = np.ones(DRAWS, dtype=bool)
    failed = passed = 0
    taken = 0.0
    before = 0
    for look in list_looks(design.looks):
        added, before = look - before, look
        # Cases that never pass take one trial only.
        rerun = 1.0 if look == 1 else 1.0 - design.silent
        taken += added * rerun * int(np.count_nonzero(is_open))
        passes += (added * after) ** 0.5 * rng.standard_normal(DRAWS)
        harm = drop + fixed + passes / look
        now = replace(design, trials=look)
        # Each look applies the usual rules at its own level.
        alpha = alpha_at_look(limits.alpha, look)
        at_look = replace(limits, alpha=alpha)
        se = now.null_se_after(drop)
        large = harm >= limits.max_drop
        fails = large & (harm >= z_quantile(alpha) * se) & (not has_too_few_clusters(now, at_look))
        leaning = large & (harm >= z_quantile(LEANING_ALPHA) * se)
        reach = critical_value(now, alpha) * now.se_bound_after(limits.tolerated)
        clear = (harm + reach < limits.tolerated) & ~leaning
        failed += int(np.count_nonzero(is_open & fails))
        passed += int(np.count_nonzero(is_open & clear & ~fails))
        is_open &= ~(fails | clear)
    return SequentialOutcomes(failed=failed / DRAWS, passed=passed / DRAWS, trials=taken / DRAWS)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcedureOdds:
    """What a whole run does, over all of its looks, by simulation from its plan.

    `false_alarm` bounds the chance that it fails an unchanged agent, `pass_chance` is the chance that it
    passes one, `mean_trials` the mean number of trials per case that it then takes. A harm of `detectable_harm` fails
    4 times in 5; None if no harm does.
    """

    false_alarm: float
    pass_chance: float
    mean_trials: float
    detectable_harm: float | None


@cache
def estimate_procedure(
    design: Design, limits: DropLimits, net_factor: float = 1.0
) -> ProcedureOdds:
    """Return the odds of a run with looks; `limits.alpha` is the level of all looks together.

    The net test must also reject, at `net_factor` times alpha, so the false alarms are at most those at
    this level. `design.looks` is the largest number of trials per case. A simulation of normal results, as in
    `simulate_looks`; for fewer than about 30 cases its errors are up to 10 points.
    """
    unchanged = simulate_looks(design, limits, 0.0)
    net_limits = replace(limits, alpha=limits.alpha * min(net_factor, 1.0))
    return ProcedureOdds(
        false_alarm=simulate_looks(design, net_limits, 0.0).failed,
        pass_chance=unchanged.passed,
        mean_trials=unchanged.trials,
        detectable_harm=find_detectable_drop(
            design,
            limits,
            steps=_BISECTION_STEPS,
            chance=lambda one, other, drop: simulate_looks(one, other, drop).failed,
        ),
    )
