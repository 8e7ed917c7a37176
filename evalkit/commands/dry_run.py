"""`evalkit run --dry-run`: what a run would do and cost, without doing it."""

from __future__ import annotations

import asyncio

from evalkit.agents.conversation import find_agent_turns
from evalkit.agents.registry import describe_entrypoint, open_agent
from evalkit.compare.scores import build_score_table
from evalkit.core.context import Context
from evalkit.core.run import Run
from evalkit.report.dry_run import DryRun
from evalkit.runner.plan import Plan, RunRequest, open_plan
from evalkit.runner.stages import count_planned_looks
from evalkit.store.baseline import baseline_path, read_baseline


def plan_dry_run(order: RunRequest, world: Context) -> DryRun:
    """Check the order as a run would and count what it would take.

    Raises:
        InvalidInput, NothingSelected: as the run itself would.
    """
    return asyncio.run(_plan_dry_run(order, world))


async def _plan_dry_run(order: RunRequest, world: Context) -> DryRun:
    async with (
        open_plan(order, world.cwd, world.environ) as plan,
        open_agent(plan.agent, plan.surroundings),
    ):
        path = baseline_path(order.path, plan.evalset.name)
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


def count_judge_calls(plan: Plan) -> int:
    """How often a judge is asked when nothing is kept: every judged answer and every control."""
    if not plan.panel.has_judge or plan.panel.active_judge.is_local:
        return 0
    judged = sum(
        bool(info.judge)
        for scorers in plan.scorers.values()
        for info in {scorer.info.name: scorer.info for scorer in scorers}.values()
    )
    votes = plan.panel.active_judge.votes
    return judged * plan.settings.first_trials * votes + plan.panel.count_controls()


def estimate_cost(baseline: Run | None, trials: int) -> float | None:
    """What so many trials cost, in USD, if they cost what the baseline's did on average."""
    known = [t.output.cost_usd for t in baseline.trials] if baseline else []
    costs = [cost for cost in known if cost is not None]
    return sum(costs) / len(costs) * trials if costs else None


def find_preflight_warnings(plan: Plan, baseline: Run | None) -> tuple[str, ...]:
    """What a metric has to be told beforehand, and the thresholds that the run cannot decide, and why."""
    used = {scorer.info.name: scorer for scorers in plan.scorers.values() for scorer in scorers}
    cautions = [f"{name}: {scorer.caution}" for name, scorer in used.items() if scorer.caution]
    if plan.selection.shard:
        return tuple(cautions)  # the parts are decided together
    if not any(rule.metric or rule.broken_cases is not None for rule in plan.gate):
        return tuple(cautions)
    from evalkit.gate.preflight import PlannedRun, find_undecidable  # noqa: PLC0415 - numpy, to weigh what will be
    from evalkit.runner.stages import count_planned_looks  # noqa: PLC0415 - as above

    looks = count_planned_looks(plan, baseline)
    planned = PlannedRun(
        cases=plan.cases,
        trials=looks or plan.settings.first_trials,
        looks=looks,
        metrics={
            case.id: {scorer.info.name: scorer.info for scorer in plan.scorers[case.id]}
            for case in plan.cases
        },
    )
    foreseen = find_undecidable(
        plan.gate, planned, build_score_table(baseline) if baseline else None
    )
    return (*cautions, *foreseen)
