"""Check and open the judges that an eval set names under `judge:`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import Protocol, cast

from evalkit.agents.cost_budget import RunCosts
from evalkit.core.judgement import JudgeSpec
from evalkit.core.location import Location, Problem
from evalkit.core.run import RunEnvironment
from evalkit.evalset.keys import JUDGE_KINDS
from evalkit.judge.budgeted_judge import BudgetedJudge
from evalkit.judge.judge import Judge

JUDGE = "judge"
"""The name of a judge as a payer."""

JUDGES = {kind: f"evalkit.judge.{kind}" for kind in JUDGE_KINDS}
"""The module of each kind, a JudgeKind. It is imported when a set names the kind."""


class JudgeKind(Protocol):
    """The functions that the module of a kind defines."""

    def check(self, spec: JudgeSpec, environment: RunEnvironment, /) -> list[str]:
        """Return what is wrong with a spec, without asking the judge."""

    def open(
        self, spec: JudgeSpec, environment: RunEnvironment, /
    ) -> AbstractAsyncContextManager[Judge]:
        """Open a judge with a valid spec; nothing is sent or loaded yet."""


def check_judges(specs: Sequence[JudgeSpec], environment: RunEnvironment) -> list[Problem]:
    """Return what is wrong with the judges of a set."""
    return [
        Problem(
            message=f"judge {spec.kind}: {message}",
            where=Location(path=spec.path, line=spec.line) if spec.path else None,
        )
        for spec in specs
        for message in _find_kind(spec).check(spec, environment)
    ]


@asynccontextmanager
async def open_judges(
    specs: Sequence[JudgeSpec], environment: RunEnvironment, costs: RunCosts | None = None
) -> AsyncIterator[tuple[Judge, ...]]:
    """Open judges with valid specs and yield them; their votes are paid from `costs`."""
    costs = costs or RunCosts()
    async with AsyncExitStack() as stack:
        judges: list[Judge] = []
        for spec in specs:
            judge = await stack.enter_async_context(_find_kind(spec).open(spec, environment))
            if not judge.is_local:
                budget = costs.open_budget(JUDGE, f"{JUDGE} {judge.digest}", spec.max_cost_usd)
                judge = BudgetedJudge(judge, budget)
            judges.append(judge)
        yield tuple(judges)


def _find_kind(spec: JudgeSpec) -> JudgeKind:
    return cast("JudgeKind", import_module(JUDGES[spec.kind]))
