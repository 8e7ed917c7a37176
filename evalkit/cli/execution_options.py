"""Define the options that say how `run` executes the trials."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from evalkit.cli.budget_options import BudgetOptions
from evalkit.cli.options import (
    BudgetTrialsOption,
    BudgetUsdOption,
    comparison_option,
    execution_option,
)


class ExecutionOptions(NamedTuple):
    """How to execute the trials."""

    against: Annotated[
        str | None,
        comparison_option(
            metavar="REF",
            help="Also run the agent from the merge base with REF, and compare with it instead of a "
            "baseline.",
        ),
    ] = None
    exit_first: Annotated[
        bool,
        execution_option(
            "-x", "--exitfirst", help="Start no more trials after the first failure or error."
        ),
    ] = False
    cache: Annotated[
        bool,
        execution_option("--cache", help="Reuse outputs of the same agent for the same input."),
    ] = False
    dry_run: Annotated[
        bool, execution_option("--dry-run", help="Print what would run and the estimated cost.")
    ] = False
    pdb: Annotated[
        bool, execution_option("--pdb", help="Run one case in this process, under the debugger.")
    ] = False
    budget_usd: BudgetUsdOption = None
    budget_trials: BudgetTrialsOption = None

    @property
    def budget(self) -> BudgetOptions:
        """What the run may take."""
        return BudgetOptions(budget_usd=self.budget_usd, budget_trials=self.budget_trials)
