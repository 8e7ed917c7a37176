"""`evalkit validate`: check eval sets, all they name, and rubrics, calling no agent and no judge."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from evalkit.agents import open_agent
from evalkit.errors import InvalidInput, NothingSelected
from evalkit.findings import CheckedRubric, CheckedSet
from evalkit.loading.rubrics import MAX_RUBRIC_BYTES, is_rubric
from evalkit.loading.yamlio import parse_yaml
from evalkit.metrics import METRICS
from evalkit.metrics.rubric_opening import check_rubric
from evalkit.plan import Order, Plan, open_plan
from evalkit.project import find_root
from evalkit.records import Location, Problem, Surroundings
from evalkit.sources import Unreadable, read_file
from evalkit.world import World


def validate(
    paths: Sequence[Path], world: World
) -> tuple[tuple[CheckedSet, ...], tuple[CheckedRubric, ...]]:
    """Check every file, told apart by its keys, and report the problems of all of them at once.

    Raises:
        InvalidInput: every problem in every file.
        NothingSelected: there is nothing wrong, but a set has no cases.
    """
    sets: list[CheckedSet] = []
    rubrics: list[CheckedRubric] = []
    problems: list[Problem] = []
    empty: list[Problem] = []
    for path in paths:
        try:
            if _holds_rubric(path):
                rubrics.append(_check_rubric(path, world))
            else:
                sets.append(asyncio.run(_check(path, world)))
        except InvalidInput as error:
            problems += [problem for problem in error.problems if problem not in problems]
        except NothingSelected as error:
            empty.append(Problem(message=str(error), where=Location(path=str(path))))
    if problems:
        raise InvalidInput([*problems, *empty])
    if empty:
        raise NothingSelected("\n".join(map(str, empty)))
    return tuple(sets), tuple(rubrics)


def _holds_rubric(path: Path) -> bool:
    try:
        return is_rubric(parse_yaml(read_file(path, MAX_RUBRIC_BYTES), str(path), []))
    except Unreadable:
        # Reading it as a set will say why; or it is a set of a size that no rubric has.
        return False


def _check_rubric(path: Path, world: World) -> CheckedRubric:
    nearby = Surroundings(
        root=find_root(path.parent, world.cwd), base=path.parent, environ=world.environ
    )
    rubric, problems = check_rubric(path, nearby, METRICS)
    if rubric is None:
        raise InvalidInput(problems)
    good = sum(control.passes for control in rubric.controls)
    return CheckedRubric(
        path=str(path),
        name=rubric.name,
        criteria=len(rubric.criteria),
        checks=len(rubric.criteria) - len(rubric.judged),
        examples=sum(len(criterion.examples) for criterion in rubric.criteria),
        good_controls=good,
        bad_controls=len(rubric.controls) - good,
    )


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
