"""Find how many trials a run with looks (evaluations of the gate) may take, and which it runs next."""

from __future__ import annotations

from dataclasses import replace

from evalkit.agents.registry import check_agent
from evalkit.core.run import Run, RunHeader
from evalkit.runner.records import Plan


def count_planned_looks(plan: Plan, baseline: Run | None) -> int:
    """Return how many trials per case a new run with looks may take; 0 if its number is fixed.

    A shard takes no looks, because `evalkit merge` decides all shards together. A recording limits the
    trials to those that it contains, and a budget to those that it buys.
    """
    if plan.settings.trials != "auto" or plan.selection.shard or baseline is None:
        return 0
    # Imported here, because it loads numpy, which a number without looks does not need.
    from evalkit.gate.sequential import find_most_trials  # noqa: PLC0415

    most = find_most_trials(plan.gate, baseline)
    if plan.budget is not None:
        most = min(most, plan.budget.plan.looks)
    return next((trials for trials in range(most, 1, -1) if _can_run_trials(plan, trials)), 0)


def _can_run_trials(plan: Plan, trials: int) -> bool:
    return not check_agent(plan.agent, plan.cases, replace(plan.agent_environment, trials=trials))


def find_next_stage(plan: Plan, run: Run, baseline: Run) -> RunHeader | None:
    """Return the header of the next stage of a run that finished a stage; None if the run is complete."""
    from evalkit.gate.next_stage import decide_stage  # noqa: PLC0415 - it loads numpy

    settings = plan.settings
    next_header = decide_stage(
        plan.gate,
        run,
        baseline,
        max_errors=settings.max_errors,
        on_inconclusive=settings.on_inconclusive,
    ).next_header
    if next_header is None or next_header.fresh == run.header.fresh:
        return next_header
    max_trials = next_header.trials + max(next_header.fresh.values())
    return next_header if _can_run_trials(plan, max_trials) else None
