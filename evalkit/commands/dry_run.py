"""`evalkit run --dry-run`: report what a run would do and cost, without calling the agent."""

from __future__ import annotations

import asyncio

from evalkit.agents.registry import describe_entrypoint, open_agent
from evalkit.ci.base import BaseGate, load_comparison_baseline
from evalkit.core.context import Context
from evalkit.core.run_budget import BudgetLimit
from evalkit.evalset.project import Project
from evalkit.report.dry_run import DryRun, PlannedJudge
from evalkit.runner.call_bound import bound_calls
from evalkit.runner.plan import open_plan
from evalkit.runner.preflight import estimate_cost, find_preflight_warnings
from evalkit.runner.records import RunRequest
from evalkit.store.baseline import baseline_path
from evalkit.store.refs import BaselineChoice


def plan_dry_run(
    request: RunRequest, limit: BudgetLimit, choice: BaselineChoice, context: Context
) -> DryRun:
    """Check a request as a run would, allot its budget, count the calls, and estimate the cost.

    Raises:
        InvalidInput, NothingSelected: as the run itself would.
    """
    project = Project.open(context, request.path)
    if limit:
        # Import it here, because it loads numpy, which only a budget needs.
        from evalkit.commands.budget import apply_budget  # noqa: PLC0415

        request = apply_budget(request, limit, choice, BaseGate(), project)
    return asyncio.run(_plan_dry_run(request, choice, project))


async def _plan_dry_run(request: RunRequest, choice: BaselineChoice, project: Project) -> DryRun:
    async with open_plan(request, project) as plan, open_agent(plan.agent, plan.environment):
        path = project.root / project.relative(request.path)
        own = baseline_path(path, plan.evalset.name)
        baseline = load_comparison_baseline(choice, own, BaseGate(), project)
        trials = plan.settings.first_trials
        bound = bound_calls(plan, baseline)
        return DryRun(
            evalset=plan.evalset.name,
            agent=f"{plan.agent.kind} {describe_entrypoint(plan.agent)}",
            cases=tuple(case.id for case in plan.cases),
            cases_in_set=len(plan.evalset.cases),
            trials=trials,
            most_trials=bound.most_trials,
            fresh_trials=bound.fresh_trials,
            agent_calls=bound.agent_at_most,
            expected_agent_calls=bound.agent_expected,
            cost_usd=estimate_cost(baseline, len(plan.cases) * trials),
            metrics=tuple(
                dict.fromkeys(s.info.name for scorers in plan.scorers.values() for s in scorers)
            ),
            baseline_trials=baseline.header.trials if baseline else 0,
            judge=plan.panel.active_judge.name if plan.panel.has_judge else "",
            judge_calls=sum(each.at_most for each in bound.judges),
            judges=tuple(
                PlannedJudge(
                    name=each.judge,
                    expected_calls=each.expected,
                    calls=each.at_most,
                    takes_over=each.takes_over,
                )
                for each in bound.judges
            ),
            max_cost_usd=plan.settings.max_cost_usd,
            budget=plan.budget,
            warnings=find_preflight_warnings(plan, baseline),
        )
