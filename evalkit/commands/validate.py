"""`evalkit validate`: check eval sets, the files they name, and rubrics, without calling an agent or judge."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from evalkit.agents.registry import describe_entrypoint, open_agent
from evalkit.commands.entrypoint import find_name_problem
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput, NothingSelected
from evalkit.core.location import Location, Problem
from evalkit.core.run import RunEnvironment
from evalkit.core.source_files import UnreadableFile, names_several, read_file
from evalkit.evalset.project import Project
from evalkit.evalset.rubrics import MAX_RUBRIC_BYTES, is_rubric
from evalkit.evalset.set_files import find_sets
from evalkit.evalset.yaml import parse_yaml
from evalkit.metrics.specs import check_rubric
from evalkit.report.validate import CheckedRubric, CheckedSet
from evalkit.runner.plan import open_plan
from evalkit.runner.records import Plan, RunRequest
from evalkit.runner.unjudged_labels import find_unjudged_labels


def find_files(paths: Sequence[Path], context: Context) -> Sequence[Path]:
    """Return the files to check: those that are named, and the sets and rubrics in folders.

    Raises:
        InvalidInput: a folder has none.
    """
    if not any(map(names_several, paths)):
        return paths
    found = find_sets(paths, accepts_rubrics=True)
    if unknown := [str(other) for other in found.skipped if other.is_unknown]:
        context.say(f"not checked: {', '.join(unknown)}")
    return (*found.sets, *(other.path for other in found.skipped if other.is_rubric))


def validate(
    paths: Sequence[Path], context: Context, *, loads_agent: bool = True
) -> tuple[tuple[CheckedSet, ...], tuple[CheckedRubric, ...]]:
    """Check every file as a set or a rubric, depending on its keys, and report all problems at once.

    Unless `loads_agent`, a Python agent is looked for in its source, and not imported.

    Raises:
        InvalidInput: lists every problem in every file.
        NothingSelected: the files have no problems, but a set has no cases.
    """
    sets: list[CheckedSet] = []
    rubrics: list[CheckedRubric] = []
    problems: list[Problem] = []
    empty: list[Problem] = []
    for path in paths:
        try:
            if _is_rubric(path):
                rubrics.append(_check_rubric(path, Project.open(context, path)))
            else:
                project = Project.open(context, path)
                sets.append(asyncio.run(_check_set(path, project, loads_agent=loads_agent)))
        except InvalidInput as error:
            problems += [problem for problem in error.problems if problem not in problems]
        except NothingSelected as error:
            empty.append(Problem(message=str(error), where=Location(path=str(path))))
    if problems:
        raise InvalidInput([*problems, *empty])
    if empty:
        raise NothingSelected("\n".join(map(str, empty)))
    return tuple(sets), tuple(rubrics)


def _is_rubric(path: Path) -> bool:
    try:
        return is_rubric(parse_yaml(read_file(path, MAX_RUBRIC_BYTES), str(path), []))
    except UnreadableFile:
        # Reading it as a set reports the reason. It can also be a set that is larger than any rubric.
        return False


def _check_rubric(path: Path, project: Project) -> CheckedRubric:
    environment = RunEnvironment(root=project.root, set_folder=path.parent, environ=project.environ)
    rubric, problems = check_rubric(path, environment)
    if rubric is None:
        raise InvalidInput(problems)
    good = sum(control.passes for control in rubric.controls)
    return CheckedRubric(
        path=str(path),
        name=rubric.name,
        criteria=len(rubric.criteria),
        checks=len(rubric.criteria) - len(rubric.judged_criteria),
        examples=sum(len(criterion.examples) for criterion in rubric.criteria),
        controls={"good": good, "bad": len(rubric.controls) - good},
    )


async def _check_set(path: Path, project: Project, *, loads_agent: bool) -> CheckedSet:
    async with open_plan(RunRequest(path=path), project) as plan:
        if loads_agent:
            # Opening the agent reports an entrypoint that cannot be loaded, without calling it.
            async with open_agent(plan.agent, plan.environment):
                return _describe_set(plan, path)
        ref = describe_entrypoint(plan.agent) if plan.agent.kind == "python" else ""
        environment = plan.environment
        if message := ref and find_name_problem(ref, environment.set_folder, environment.root):
            raise InvalidInput.single(message, plan.agent.where)
        return _describe_set(plan, path)


def _describe_set(plan: Plan, path: Path) -> CheckedSet:
    """Count the cases, thresholds, metrics, and tags of a plan."""
    metrics = Counter(s.info.name for scorers in plan.scorers.values() for s in scorers)
    tags = Counter(tag for case in plan.cases for tag in case.tags)
    return CheckedSet(
        path=str(path),
        name=plan.evalset.name,
        cases=len(plan.cases),
        thresholds=len(plan.gate),
        scored_by=metrics,
        tags=dict(sorted(tags.items())),
        warnings=find_unjudged_labels(plan),
    )
