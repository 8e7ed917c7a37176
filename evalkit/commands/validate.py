"""`evalkit validate`: check eval sets and all they name, calling no agent."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from evalkit.agents import open_agent
from evalkit.errors import InvalidInput, NothingSelected
from evalkit.findings import CheckedSet
from evalkit.plan import Order, Plan, open_plan
from evalkit.records import Location, Problem
from evalkit.world import World


def validate(paths: Sequence[Path], world: World) -> tuple[CheckedSet, ...]:
    """Check every file, and report the problems of all of them at once.

    Raises:
        InvalidInput: every problem in every file.
        NothingSelected: there is nothing wrong, but a set has no cases.
    """
    checked: list[CheckedSet] = []
    problems: list[Problem] = []
    empty: list[Problem] = []
    for path in paths:
        try:
            checked.append(asyncio.run(_check(path, world)))
        except InvalidInput as error:
            problems += error.problems
        except NothingSelected as error:
            empty.append(Problem(message=str(error), where=Location(path=str(path))))
    if problems:
        raise InvalidInput([*problems, *empty])
    if empty:
        raise NothingSelected("\n".join(map(str, empty)))
    return tuple(checked)


async def _check(path: Path, world: World) -> CheckedSet:
    # The agent is opened too: an entrypoint that cannot be loaded is found without calling it.
    async with (
        open_plan(Order(path=path), world.cwd, world.environ) as plan,
        open_agent(plan.agent, plan.surroundings),
    ):
        return describe(plan, path)


def describe(plan: Plan, path: Path) -> CheckedSet:
    """The numbers of a plan."""
    metrics = Counter(s.info.name for scorers in plan.scorers.values() for s in scorers)
    tags = Counter(tag for case in plan.cases for tag in case.tags)
    return CheckedSet(
        path=str(path),
        name=plan.evalset.name,
        cases=len(plan.cases),
        rules=len(plan.gate),
        scored_by=tuple(metrics.items()),
        tags=tuple(sorted(tags.items())),
    )
