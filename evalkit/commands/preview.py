"""`evalkit run --dry-run`: what a run would do and cost, without doing it."""

from __future__ import annotations

import asyncio

from evalkit.agents import entrypoint_of, open_agent
from evalkit.agents.conversation import answered_turns
from evalkit.baseline import baseline_path, read_baseline
from evalkit.execution import plan_looks
from evalkit.findings import Preview
from evalkit.gating.foresight import Planned, foresee
from evalkit.plan import Order, Plan, open_plan
from evalkit.records import Run
from evalkit.samples import tabulate
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


def find_warnings(plan: Plan, baseline: Run | None) -> tuple[str, ...]:
    """What a metric has to be told beforehand, and the thresholds that the run cannot decide, and why."""
    used = {scorer.info.name: scorer for scorers in plan.scorers.values() for scorer in scorers}
    cautions = [f"{name}: {scorer.caution}" for name, scorer in used.items() if scorer.caution]
    if plan.selection.shard:
        return tuple(cautions)  # the parts are decided together
    looks = plan_looks(plan, baseline)
    planned = Planned(
        cases=plan.cases,
        trials=looks or plan.settings.first_trials,
        looks=looks,
        metrics={
            case.id: {scorer.info.name: scorer.info for scorer in plan.scorers[case.id]}
            for case in plan.cases
        },
    )
    foreseen = foresee(plan.gate, planned, tabulate(baseline) if baseline else None)
    return (*cautions, *foreseen)


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
