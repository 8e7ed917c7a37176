"""`evalkit run --dry-run`: report what a run would do and cost, without calling the agent."""

from __future__ import annotations

import asyncio

from evalkit.agents.conversation import find_agent_turns
from evalkit.agents.registry import describe_entrypoint, open_agent
from evalkit.core.context import Context
from evalkit.evalset.project import Project
from evalkit.report.dry_run import DryRun
from evalkit.runner.looks import count_planned_looks
from evalkit.runner.plan import open_plan
from evalkit.runner.preflight import count_judge_calls, estimate_cost, find_preflight_warnings
from evalkit.runner.records import RunRequest
from evalkit.store.baseline import baseline_path, read_baseline


def plan_dry_run(request: RunRequest, context: Context) -> DryRun:
    """Check a request as a run would, count the calls, and estimate the cost.

    Raises:
        InvalidInput, NothingSelected: as the run itself would.
    """
    return asyncio.run(_plan_dry_run(request, Project.open(context, request.path)))


async def _plan_dry_run(request: RunRequest, project: Project) -> DryRun:
    async with open_plan(request, project) as plan, open_agent(plan.agent, plan.environment):
        path = baseline_path(request.path, plan.evalset.name)
        baseline = read_baseline(path) if path.exists() else None
        trials = plan.settings.first_trials
        calls = sum(len(find_agent_turns(case)) for case in plan.cases) * trials
        return DryRun(
            evalset=plan.evalset.name,
            agent=f"{plan.agent.kind} {describe_entrypoint(plan.agent)}",
            cases=tuple(case.id for case in plan.cases),
            cases_in_set=len(plan.evalset.cases),
            trials=trials,
            most_trials=count_planned_looks(plan, baseline) or trials,
            agent_calls=calls,
            cost_usd=estimate_cost(baseline, len(plan.cases) * trials),
            metrics=tuple(
                dict.fromkeys(s.info.name for scorers in plan.scorers.values() for s in scorers)
            ),
            baseline_trials=baseline.header.trials if baseline else 0,
            judge=plan.panel.active_judge.name if plan.panel.has_judge else "",
            judge_calls=count_judge_calls(plan),
            warnings=find_preflight_warnings(plan, baseline),
        )
