"""Decide how many looks a run may take, and which trials its results call for next."""

from __future__ import annotations

from dataclasses import replace

from evalkit.agents.registry import check_agent
from evalkit.core.run import Run, RunHeader
from evalkit.gate.decide import decide_stage
from evalkit.gate.sequential import count_looks
from evalkit.runner.records import Plan


def count_planned_looks(plan: Plan, baseline: Run | None) -> int:
    """Return how many looks a new run may take; 0 where the number of its trials is fixed.

    A shard cannot decide alone, and a recording has no outputs beyond those that it contains.
    """
    if plan.settings.trials != "auto" or plan.selection.shard:
        return 0
    looks = count_looks(plan.gate, baseline)
    return next((count for count in range(looks, 1, -1) if _can_run_trials(plan, count)), 0)


def _can_run_trials(plan: Plan, trials: int) -> bool:
    return not check_agent(plan.agent, plan.cases, replace(plan.environment, trials=trials))


def find_next_stage(plan: Plan, run: Run, baseline: Run) -> RunHeader | None:
    """Return the header of the next stage of a run that finished a stage; None at its end."""
    settings = plan.settings
    following = decide_stage(
        plan.gate,
        run,
        baseline,
        max_errors=settings.max_errors,
        on_inconclusive=settings.on_inconclusive,
    ).next_header
    if following is None or following.fresh == run.header.fresh:
        return following
    most = following.trials + max(following.fresh.values())
    return following if _can_run_trials(plan, most) else None
