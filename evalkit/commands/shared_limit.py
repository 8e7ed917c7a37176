"""Give each run of a command what is left of the cost limit that they share."""

from __future__ import annotations

from dataclasses import replace

from evalkit.core.context import Context
from evalkit.core.errors import Undecidable
from evalkit.evalset.project import Project
from evalkit.runner.records import RunOptions, RunRequest
from evalkit.store.costs import load_costs
from evalkit.store.runs import new_run_id, runs_folder


class SharedLimit:
    """A cost limit in USD for all runs of a command; None is no limit."""

    def __init__(self, max_usd: float | None, context: Context) -> None:
        self.max_usd = max_usd
        self.spent_usd = 0.0
        self._context = context

    def apply(
        self, request: RunRequest, options: RunOptions, name: str
    ) -> tuple[RunRequest, RunOptions]:
        """Return the request of a set with what is left, and options with the id of its run.

        Raises:
            Undecidable: nothing is left.
        """
        run_id = new_run_id(self._context.now(), name, self._context.token())
        options = replace(options, run_id=run_id)
        if self.max_usd is None:
            return request, options
        left_usd = self.max_usd - self.spent_usd
        if left_usd <= 0:
            raise Undecidable(
                f"not run, because max_cost_usd of all sets together is {self.max_usd:g} USD, and those "
                f"before have cost {self.spent_usd:.4g} USD. Give a higher --max-cost-usd."
            )
        overrides = replace(request.overrides, max_cost_usd=left_usd)
        return replace(request, overrides=overrides), options

    def count(self, request: RunRequest, options: RunOptions) -> None:
        """Count what a run has cost, however it ended."""
        if self.max_usd is not None and options.run_id is not None:
            root = Project.open(self._context, request.path).root
            folder = runs_folder(root) / options.run_id
            self.spent_usd += sum(cost_usd for _, cost_usd in load_costs(folder))
