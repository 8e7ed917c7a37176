"""Say at the end of a run which cost limits could not be checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from evalkit.core.context import Context
from evalkit.runner.agent_prices import RETURN_COST
from evalkit.runner.records import Execution, Plan


def add_cost_warnings(execution: Execution, plan: Plan, context: Context) -> Execution:
    """Return the execution with warnings about cost limits, and say them."""
    found = tuple(_find_cost_warnings(plan))
    for warning in found:
        context.say(f"warning: {warning}")
    run = execution.run
    return replace(execution, run=replace(run, warnings=(*run.warnings, *found)))


def _find_cost_warnings(plan: Plan) -> Iterator[str]:
    """Yield that a cost limit could not be checked, because the agent's answers had no cost."""
    own, shared = plan.agent.max_cost_usd, plan.settings.max_cost_usd
    if plan.agent_budget.lacks_price and (own is not None or shared is not None):
        yield (
            "max_cost_usd cannot be checked for the agent, because its answers came without a cost. "
            f"{RETURN_COST}"
        )
