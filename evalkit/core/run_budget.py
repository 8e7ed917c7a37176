"""The budget of a run: what it may take at most, and what it was planned to detect with that."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetLimit:
    """A budget as the user gives it: a number of trials, or an amount in USD."""

    trials: int | None = None
    usd: float | None = None

    def __bool__(self) -> bool:
        return self.trials is not None or self.usd is not None


NO_LIMIT = BudgetLimit()


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialPlan:
    """How a budget divides among the cases, and the drop that this detects.

    Every case takes `trials_per_case` at most. With `looks`, which then equals it, cases that never passed
    take one trial, and the run ends at the first look that decides. `most_trials` counts the trials if it
    never does, `mean_trials` those of an unchanged agent on average, both over all cases and agents. A
    change of `smallest_drop` or more (0..1) fails at least 4 times in 5; None if no change does.
    """

    trials_per_case: int
    looks: int
    most_trials: int
    mean_trials: float = 0.0
    smallest_drop: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunBudget:
    """What a run may take at most, and how it was allotted before the first call.

    `max_trials` counts the trials of all cases and agents, which cost `max_usd` if the budget is in USD.
    `trial_cost_usd` is the mean cost of a trial, agent and judge, of the baseline or else of the newest
    run; None if it is unknown. `reserved_trials` are left for fresh trials of newly failing cases. `name` is
    the threshold that `plan` is for, and `noun` whether it limits a drop or a rise. `more` is what
    `more_trials` further trials, or `more_usd`, would allot, and `next_step` the cheapest plan that would
    detect a smaller change if `more` does not; None if there is none.
    """

    max_trials: int
    max_usd: float | None = None
    trial_cost_usd: float | None = None
    reserved_trials: int = 0
    name: str
    noun: str = "drop"
    plan: TrialPlan
    more_trials: int
    more_usd: float | None = None
    more: TrialPlan
    next_step: TrialPlan | None = None

    @property
    def unused_trials(self) -> int:
        """The trials that the budget buys and the plan leaves out."""
        return max(self.max_trials - self.reserved_trials - self.plan.most_trials, 0)

    @property
    def buys_most(self) -> bool:
        """Whether no plan takes more trials to detect a smaller change."""
        return self.next_step is None and self.more == self.plan
