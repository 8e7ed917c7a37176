"""`evalkit run --dry-run`: what a run would do and cost, without doing it."""

from __future__ import annotations

import asyncio

from evalkit.agents import entrypoint_of, open_agent
from evalkit.agents.conversation import answered_turns
from evalkit.baseline import baseline_path, read_baseline
from evalkit.commands.foreseeing import find_warnings
from evalkit.findings import Preview
from evalkit.plan import Order, Plan, open_plan
from evalkit.records import Run
from evalkit.staging import plan_looks
from evalkit.world import World


def preview(order: Order, world: World) -> Preview:
    """Check the order as a run would and count what it would take.

    Raises:
        InvalidInput, NothingSelected: as the run itself would.
    """
    return asyncio.run(_preview(order, world))


async def _preview(order: Order, world: World) -> Preview:
    async with (
        open_plan(order, world.cwd, world.environ) as plan,
        open_agent(plan.agent, plan.surroundings),
    ):
        path = baseline_path(order.path, plan.evalset.name)
        baseline = read_baseline(path) if path.exists() else None
        trials = plan.settings.first_trials
        calls = sum(len(answered_turns(case)) for case in plan.cases) * trials
        return Preview(
            evalset=plan.evalset.name,
            agent=f"{plan.agent.kind} {entrypoint_of(plan.agent)}",
            case_ids=tuple(case.id for case in plan.cases),
            cases_in_set=len(plan.evalset.cases),
            trials=trials,
            most_trials=plan_looks(plan, baseline) or trials,
            agent_calls=calls,
            cost_usd=estimate_cost(baseline, len(plan.cases) * trials),
            metrics=tuple(
                dict.fromkeys(s.info.name for scorers in plan.scorers.values() for s in scorers)
            ),
            baseline_trials=baseline.header.trials if baseline else 0,
            judge=plan.panel.serving.name if plan.panel.has_judge else "",
            judge_calls=count_judge_calls(plan),
            warnings=find_warnings(plan, baseline),
        )


def count_judge_calls(plan: Plan) -> int:
    """How often a judge is asked when nothing is kept: every judged answer and every control."""
    if not plan.panel.has_judge or plan.panel.serving.is_local:
        return 0
    judged = sum(
        bool(info.judge)
        for scorers in plan.scorers.values()
        for info in {scorer.info.name: scorer.info for scorer in scorers}.values()
    )
    votes = plan.panel.serving.votes
    return judged * plan.settings.first_trials * votes + plan.panel.count_controls()


def estimate_cost(baseline: Run | None, trials: int) -> float | None:
    """What so many trials cost, in USD, if they cost what the baseline's did on average."""
    known = [t.output.cost_usd for t in baseline.trials] if baseline else []
    costs = [cost for cost in known if cost is not None]
    return sum(costs) / len(costs) * trials if costs else None
