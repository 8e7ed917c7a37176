"""Define the options for the budget of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from evalkit.cli.options import BudgetTrialsOption, BudgetUsdOption

if TYPE_CHECKING:
    from evalkit.core.run_budget import BudgetLimit


class BudgetOptions(NamedTuple):
    """What a run may take."""

    budget_usd: BudgetUsdOption = None
    budget_trials: BudgetTrialsOption = None

    @property
    def limit(self) -> BudgetLimit:
        """The budget that the user gave, if any."""
        from evalkit.core.run_budget import BudgetLimit

        return BudgetLimit(trials=self.budget_trials, usd=self.budget_usd)

    @property
    def conflict(self) -> tuple[str, bool]:
        """The message about options that contradict each other, and whether they do."""
        both = self.budget_usd is not None and self.budget_trials is not None
        return "--budget-usd and --budget-trials exclude each other", both
