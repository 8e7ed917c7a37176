"""Allot a budget of trials: list the plans that keep the tests exact, and choose the most sensitive one.

The number of trials of a case must not depend on its results alone, or the cases left out would take their
evidence with them. So every plan is either a number of looks, which leave alone the cases that never
passed, or the same number of trials of each case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from evalkit.stats.group_sequential import list_looks
from evalkit.stats.power import MAX_TRIALS


@dataclass(frozen=True, kw_only=True, slots=True)
class Allotment:
    """The most trials per case, and how many trials all cases take at most.

    With `looks`, which then equals `trials`, the run may end earlier; 0 if the number is fixed.
    """

    trials: int
    looks: int
    most_trials: int


def list_allotments(  # noqa: PLR0913 - the sizes of a run and their bounds
    cases: int,
    *,
    silent: int,
    most_looks: int,
    least_fixed: int = 1,
    most_fixed: int = MAX_TRIALS,
    agents: int = 1,
) -> tuple[Allotment, ...]:
    """Return every plan for a number of cases, cheapest first.

    Looks take one trial of the `silent` cases, which never passed, and up to `most_looks` of the others,
    which is 0 without looks.
    Beyond the last look, or without looks, each case takes the same number of trials, `least_fixed` to
    `most_fixed`, from each of the `agents`.
    """
    looks = range(2, list_looks(most_looks)[-1] + 1) if most_looks else ()
    fixed = [least_fixed, *range(looks[-1] + 1 if looks else least_fixed + 1, most_fixed + 1)]
    plans = [
        Allotment(trials=look, looks=look, most_trials=cases + (look - 1) * (cases - silent))
        for look in looks
    ]
    plans += [
        Allotment(trials=trials, looks=0, most_trials=cases * trials * agents) for trials in fixed
    ]
    return tuple(sorted(plans, key=lambda plan: plan.most_trials))


Sensitivity = Callable[[Allotment], float | None]
"""Returns the smallest change that a plan detects; None if it detects none."""


def choose_allotment(
    plans: Sequence[Allotment], max_trials: int, detectable: Sensitivity
) -> Allotment | None:
    """Return the plan within `max_trials` that detects the smallest change, the cheapest of equal ones.

    So a larger budget never detects less. None if not even the cheapest plan is within the budget.
    """
    within = [plan for plan in plans if plan.most_trials <= max_trials]
    return min(within, key=lambda plan: _rank(plan, detectable), default=None)


def find_next_allotment(
    plans: Sequence[Allotment], chosen: Allotment, detectable: Sensitivity
) -> Allotment | None:
    """Return the cheapest plan that detects a smaller change than the chosen one; None if none does."""
    now = _size(detectable(chosen))
    better = [
        plan
        for plan in plans
        if plan.most_trials > chosen.most_trials and _size(detectable(plan)) < now
    ]
    return min(better, key=lambda plan: plan.most_trials, default=None)


def _size(change: float | None) -> float:
    return inf if change is None else change


def _rank(plan: Allotment, detectable: Sensitivity) -> tuple[float, int]:
    return _size(detectable(plan)), plan.most_trials
