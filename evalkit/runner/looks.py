"""Find how many looks (evaluations of the gate) a run may take, and which trials it runs next."""

from __future__ import annotations

from dataclasses import replace

from evalkit.agents.registry import check_agent
from evalkit.core.run import Run, RunHeader
from evalkit.gate.decide import decide_stage
from evalkit.gate.sequential import count_looks
from evalkit.runner.records import Plan


def count_planned_looks(plan: Plan, baseline: Run | None) -> int:
    """Return how many looks a new run may take; 0 if its number of trials is fixed.

    A shard takes none, because `evalkit merge` decides all shards together. A recording limits the
    looks to the trials that it contains.
    """
    if plan.settings.trials != "auto" or plan.selection.shard:
        return 0
    looks = count_looks(plan.gate, baseline)
    return next((count for count in range(looks, 1, -1) if _can_run_trials(plan, count)), 0)


def _can_run_trials(plan: Plan, trials: int) -> bool:
    return not check_agent(plan.agent, plan.cases, replace(plan.agent_environment, trials=trials))


def find_next_stage(plan: Plan, run: Run, baseline: Run) -> RunHeader | None:
    """Return the header of the next stage of a run that finished a stage; None if the run is complete."""
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
