"""`evalkit run --dry-run`: what a run would do and cost, without doing it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from evalkit.agents import entrypoint_of
from evalkit.baseline import baseline_path, read_baseline
from evalkit.execution import World
from evalkit.plan import Order, open_plan
from evalkit.records import Run, Turn


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """The size of a run; costs are None where no stored trial tells what one costs."""

    evalset: str
    agent: str
    case_ids: tuple[str, ...]
    cases_in_set: int
    trials: int
    agent_calls: int
    cost_usd: float | None
    metrics: tuple[str, ...]
    baseline_trials: int


def preview(order: Order, world: World) -> Preview:
    """Check the order as a run would and count what it would take.

    Raises:
        InvalidInput, NothingSelected: as the run itself would.
    """
    return asyncio.run(_preview(order, world))


async def _preview(order: Order, world: World) -> Preview:
    async with open_plan(order, world.cwd, world.environ) as plan:
        path = baseline_path(order.path, plan.evalset.name)
        baseline = read_baseline(path) if path.exists() else None
        trials = plan.settings.trials
        calls = sum(count_calls(case.input) for case in plan.cases) * trials
        return Preview(
            evalset=plan.evalset.name,
            agent=f"{plan.agent.kind} {entrypoint_of(plan.agent)}",
            case_ids=tuple(case.id for case in plan.cases),
            cases_in_set=len(plan.evalset.cases),
            trials=trials,
            agent_calls=calls,
            cost_usd=estimate_cost(baseline, len(plan.cases) * trials),
            metrics=tuple(
                dict.fromkeys(s.info.name for scorers in plan.scorers.values() for s in scorers)
            ),
            baseline_trials=baseline.header.trials if baseline else 0,
        )


def count_calls(question: str | tuple[Turn, ...]) -> int:
    """How often the agent is asked in one trial: once for each turn that is not answered already."""
    if isinstance(question, str):
        return 1
    following = [*question[1:], None]
    return sum(
        turn.role == "user" and (after is None or after.role != "assistant")
        for turn, after in zip(question, following, strict=True)
    )


def estimate_cost(baseline: Run | None, trials: int) -> float | None:
    """What so many trials cost, in USD, if they cost what the baseline's did on average."""
    known = [t.output.cost_usd for t in baseline.trials] if baseline else []
    costs = [cost for cost in known if cost is not None]
    return sum(costs) / len(costs) * trials if costs else None
