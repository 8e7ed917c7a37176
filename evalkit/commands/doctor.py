"""`evalkit doctor`: check the place that evalkit runs in, and what a set needs there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

from evalkit.commands.agent_check import check_http_agent
from evalkit.commands.place_checks import (
    Installation,
    check_git,
    check_installation,
    check_store,
    check_workers,
    check_workflows,
)
from evalkit.commands.validate import validate
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput, NothingSelected
from evalkit.core.format import format_count
from evalkit.core.judgement import JudgeSpec
from evalkit.core.location import Problem
from evalkit.core.run import RunEnvironment
from evalkit.core.source_files import names_several
from evalkit.evalset.loader import load_project
from evalkit.evalset.project import Project
from evalkit.evalset.set_files import find_sets
from evalkit.judge.one_question import ask_once, find_judge_url, read_server_time
from evalkit.judge.registry import check_judges
from evalkit.report.content import value_cell
from evalkit.report.doctor import SEVERITY, Diagnosis, PlaceCheck

MAX_CLOCK_SKEW_S = 60.0
"""How far this clock may differ from a server's. Signed requests and certificates expire in minutes."""


def doctor(
    evalset: Path | None, installed: Installation, context: Context, *, ask_judge: bool
) -> Diagnosis:
    """Return every check: of the place; of a set, its agent, and its judge; or of the project's judge.

    A folder counts with every set in it.

    Each judge is asked one question, which may cost money.
    """
    evalsets: tuple[Path | None, ...] = (evalset,)
    if evalset is not None and names_several(evalset):
        evalsets = find_sets([evalset]).sets
        evalset = evalsets[0]
    project = Project.open(context, evalset)
    checks = [
        *check_installation(installed),
        *check_git(project, context),
        *check_workflows(project),
        *check_store(project.root, context),
        asyncio.run(check_workers(project.root, context)),
    ]
    if evalset is not None or ask_judge:
        for each in evalsets:
            found = _check_judged_set(each, context, ask_judge=ask_judge)
            # Sets that share a judge ask it once each, and the result is shown once.
            checks += [check for check in found if check not in checks]
    return Diagnosis(
        status=max((check.status for check in checks), key=SEVERITY.index), checks=tuple(checks)
    )


def _check_judged_set(
    evalset: Path | None, context: Context, *, ask_judge: bool
) -> Iterator[PlaceCheck]:
    """Yield the checks of a set and its judges, or those of the project's judge."""
    project = Project.open(context, evalset)
    judges = _read_judges(evalset, project)
    folder = evalset.parent if evalset is not None else project.root
    environment = RunEnvironment(root=project.root, set_folder=folder, environ=project.environ)
    problems = check_judges(judges, environment)
    if evalset is not None:
        yield (of_set := _check_set(evalset, problems, context))
        agent = project.load(evalset)[0].agent
        if of_set.status != "fail" and agent is not None and agent.kind == "http":
            yield check_http_agent(agent, environment)
    if problems:
        yield from (PlaceCheck(name="judge", status="fail", found=str(each)) for each in problems)
    else:
        yield from _check_judges(judges, environment, context)
    if ask_judge and not judges:
        advice = "Name an eval set that has one, or add `judge:` to evalkit.yaml."
        found = "there is none to ask."
        yield PlaceCheck(name="judge", status="warn", found=found, advice=advice)


def _read_judges(evalset: Path | None, project: Project) -> Sequence[JudgeSpec]:
    """Return the judges of a set, else those of the project file."""
    if evalset is not None:
        return project.load(evalset)[0].judges
    return load_project(project.cwd / "_", project.root, []).judges or ()


def _check_set(evalset: Path, of_judges: Sequence[Problem], context: Context) -> PlaceCheck:
    """Check a set as `evalkit validate` does, without the problems of its judges."""
    problems: Sequence[Problem] = ()
    try:
        sets, _ = validate([evalset], context)
    except InvalidInput as error:
        sets = ()
        problems = [problem for problem in error.problems if problem not in of_judges]
    except NothingSelected as error:
        return PlaceCheck(name="set", status="fail", found=str(error))
    if problems:
        more = len(problems) - 1
        others = f" And {format_count(more, 'more problem')}." if more else ""
        advice = f"See all with: evalkit validate {evalset}" if more else ""
        return PlaceCheck(name="set", status="fail", found=f"{problems[0]}{others}", advice=advice)
    if sets:
        found = f"{evalset}: {format_count(sets[0].cases, 'case')}, the agent can be loaded"
        if sets[0].warnings:
            return PlaceCheck(
                name="set", status="warn", found=f"{found}. {' '.join(sets[0].warnings)}"
            )
        return PlaceCheck(name="set", status="ok", found=found)
    if of_judges:
        return PlaceCheck(name="set", status="ok", found=f"{evalset}, except for its judge")
    return PlaceCheck(
        name="set", status="fail", found=f"{evalset} is a rubric.", advice="Name an eval set."
    )


def _check_judges(
    judges: Sequence[JudgeSpec], environment: RunEnvironment, context: Context
) -> Iterator[PlaceCheck]:
    """Yield a check for each judge, and for the clock against the time of its server."""
    yield from asyncio.run(_ask_judges(judges, environment))
    urls = dict.fromkeys(filter(None, (find_judge_url(spec, environment) for spec in judges)))
    yield from filter(None, (_check_clock(url, context) for url in urls))


async def _ask_judges(
    judges: Sequence[JudgeSpec], environment: RunEnvironment
) -> Sequence[PlaceCheck]:
    return await asyncio.gather(*(_ask_judge(spec, environment) for spec in judges))


async def _ask_judge(spec: JudgeSpec, environment: RunEnvironment) -> PlaceCheck:
    asked = await ask_once(spec, environment)
    vote = asked.vote
    if vote.state != "scored":
        found = f"{asked.name}: {vote.problem or vote.kind}"
        advice = "Check the address, the key, and the network."
        return PlaceCheck(name="judge", status="fail", found=f"{found.rstrip('.')}.", advice=advice)
    cost = f", {value_cell(vote.cost_usd, 'usd')}" if vote.cost_usd is not None else ""
    if not asked.is_right:
        found = f"{asked.name} called a right answer wrong{cost}."
        advice = "Measure it with labels: evalkit help calibration."
        return PlaceCheck(name="judge", status="warn", found=found, advice=advice)
    return PlaceCheck(name="judge", status="ok", found=f"{asked.name} answered one question{cost}")


def _check_clock(url: str, context: Context) -> PlaceCheck | None:
    """Return the check of this clock against a server's; None if that does not say its time."""
    server = read_server_time(url)
    if server is None:
        return None
    skew_s = abs((server - context.now()).total_seconds())
    if skew_s > MAX_CLOCK_SKEW_S:
        found = f"this clock is {skew_s:,.0f} s off the judge's server."
        return PlaceCheck(
            name="clock", status="warn", found=found, advice="Synchronize it, as with NTP."
        )
    return PlaceCheck(name="clock", status="ok", found="agrees with the judge's server")
