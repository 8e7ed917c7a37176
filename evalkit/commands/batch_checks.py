"""Check all sets of a command before the first one runs, and fix the commits that all of them use."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.agents.registry import open_agent
from evalkit.ci.against import find_against_commit
from evalkit.ci.base import GateChoice
from evalkit.ci.gate_changes import GateDefinition
from evalkit.ci.set_guard import define_set
from evalkit.commands.base import find_base
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput, NothingSelected
from evalkit.core.eval_set import EvalSet
from evalkit.core.git import find_checkout
from evalkit.core.location import Location, Problem
from evalkit.core.source_files import display_path
from evalkit.evalset.project import Project
from evalkit.evalset.selection import Selection
from evalkit.runner.plan import open_plan
from evalkit.runner.records import RunRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedRequest:
    """A request whose set has no problem.

    `unselected` says why no case of the set is selected, if so. `definition` is what the set was.
    """

    request: RunRequest
    name: str
    definition: GateDefinition
    unselected: NothingSelected | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FixedCommits:
    """The commits that the gate and the baseline's agent of a set come from, found before any set runs."""

    gate: GateChoice
    against: str | None


def check_requests(
    requests: Sequence[RunRequest],
    narrow: Callable[[RunRequest], RunRequest],
    context: Context,
) -> tuple[CheckedRequest, ...]:
    """Check every set as `evalkit validate` does, with the cases that are selected; call no agent.

    `narrow` limits a request further. A case that the user names has to be in one of the sets.

    Raises:
        InvalidInput: every problem in every set.
    """
    problems: list[Problem] = []
    known: set[str] = set()
    checked = [_check_request(request, narrow, problems, known, context) for request in requests]
    wanted = requests[0].selection.case_ids if requests else ()
    if unknown := [case_id for case_id in wanted if case_id not in known]:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        advice = f" Did you mean {near[0]!r}?" if near else ""
        names = ", ".join(map(repr, unknown))
        problems.append(Problem(message=f"no case of any set has the id {names}.{advice}"))
    if problems:
        raise InvalidInput(problems)
    return tuple(checked)


def _check_request(
    request: RunRequest,
    narrow: Callable[[RunRequest], RunRequest],
    problems: list[Problem],
    known: set[str],
    context: Context,
) -> CheckedRequest:
    """Check one set; add its problems and the ids of its cases to those known already."""
    project = Project.open(context, request.path)
    evalset, found = project.load(request.path)
    known |= {case.id for case in evalset.cases}
    own, unselected = request, None
    try:
        if not found:
            own = narrow(_keep_own_cases(request, evalset))
    except NothingSelected as error:
        own, unselected = replace(request, selection=Selection()), error
    except InvalidInput as error:
        _add_problems(error, request.path, problems)
    try:
        asyncio.run(_check(own, project))
    except NothingSelected as error:
        unselected = error
    except InvalidInput as error:
        _add_problems(error, request.path, problems)
    return CheckedRequest(
        request=own,
        name=evalset.name,
        definition=define_set(request.path, context),
        unselected=unselected,
    )


def _keep_own_cases(request: RunRequest, evalset: EvalSet) -> RunRequest:
    """Return the request without the cases that other sets have.

    Raises:
        NothingSelected: the set has none of the cases that the user names.
    """
    wanted = request.selection.case_ids
    known = {case.id for case in evalset.cases}
    own = tuple(case_id for case_id in wanted if case_id in known)
    if known and wanted and not own:
        raise NothingSelected(f"no case of the set is selected by {request.selection}.")
    return replace(request, selection=replace(request.selection, case_ids=own))


async def _check(request: RunRequest, project: Project) -> None:
    async with open_plan(request, project) as plan, open_agent(plan.agent, plan.environment):
        pass


def _add_problems(error: InvalidInput, path: Path, problems: list[Problem]) -> None:
    whole = Location(path=display_path(path))
    found = (replace(problem, where=problem.where or whole) for problem in error.problems)
    problems += [problem for problem in found if problem not in problems]


def fix_commits(
    gate: GateChoice, against: str | None, paths: Sequence[Path], context: Context
) -> tuple[FixedCommits, ...]:
    """Find the base, and the commit of `against`, once for each repository that sets are in.

    An agent could move a branch, so no later set looks up a name.

    Raises:
        InvalidInput: as `find_base`.
    """
    found: dict[Path | None, FixedCommits] = {}
    tops = [find_checkout(path.parent) for path in paths]
    for top, path in zip(tops, paths, strict=True):
        if top not in found:
            base = find_base(gate.base, context, require=gate.require, path=path)
            found[top] = FixedCommits(
                gate=replace(gate, base=base.commit or gate.base),
                against=against and find_against_commit(path, against, context),
            )
    return tuple(found[top] for top in tops)
