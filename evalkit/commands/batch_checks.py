"""Check all sets of a command before the first one runs, and fix the commits that all of them use."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from evalkit.agents.registry import open_agent
from evalkit.ci.access_changes import refuse_new_access
from evalkit.ci.against import find_against_commit
from evalkit.ci.base import GateChoice, apply_base_gate
from evalkit.ci.base_files import checkout
from evalkit.ci.gate_changes import GateDefinition
from evalkit.ci.guarded_gate import open_guarded_gate
from evalkit.ci.set_guard import define_set
from evalkit.ci.systems import BaseRef
from evalkit.ci.unrun_sets import UnrunSet, find_unrun_sets
from evalkit.commands.base import find_base
from evalkit.core.context import Context
from evalkit.core.errors import ApprovalNeeded, InvalidInput, NothingSelected, Undecidable
from evalkit.core.eval_set import EvalSet
from evalkit.core.git import find_checkout
from evalkit.core.location import Location, Problem
from evalkit.core.source_files import display_path
from evalkit.evalset.base_version import merge_sets
from evalkit.evalset.project import Project
from evalkit.evalset.selection import Selection
from evalkit.runner.plan import open_plan
from evalkit.runner.records import RunRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class FixedCommits:
    """The commits that the gate and the baseline's agent of a set come from, found before any set runs.

    Without `gate`, nothing is compared with a base. `base` is the id of the base commit; empty if there is none.
    """

    gate: GateChoice | None = None
    base: str = ""
    against: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedRequest:
    """A request whose set has no problem.

    `unselected` says why no case of the set is selected, if so. `definition` is what the set was.
    """

    request: RunRequest
    name: str
    commits: FixedCommits
    definition: GateDefinition
    unselected: NothingSelected | None = None


RequestNarrower: TypeAlias = Callable[[RunRequest], RunRequest]
"""Limits a request further, for example to the cases that failed last."""


def check_requests(
    requests: Sequence[RunRequest],
    commits: Sequence[FixedCommits],
    narrow: RequestNarrower,
    context: Context,
) -> tuple[CheckedRequest, ...]:
    """Check every set with its selected cases as a run does before its first call; call no agent.

    A case that the user names has to be in one of the sets. What else a run would refuse, such as an edit of
    the gate, is left to the run.

    Raises:
        InvalidInput: every problem in every set.
    """
    projects = [Project.open(context, request.path) for request in requests]
    # Before any code of a set is loaded, because it could change another set.
    defined = [
        CheckedRequest(
            request=request,
            name=project.load(request.path)[0].name,
            commits=fixed,
            definition=define_set(request.path, context),
        )
        for request, fixed, project in zip(requests, commits, projects, strict=True)
    ]
    problems = _find_unknown_cases(requests, projects)
    # The run itself gives the same warnings.
    quiet = replace(context, say=lambda _: None)
    checked = [
        _check(each, narrow, project, problems, quiet)
        for each, project in zip(defined, projects, strict=True)
    ]
    if problems:
        raise InvalidInput(problems)
    return tuple(checked)


def _find_unknown_cases(
    requests: Sequence[RunRequest], projects: Sequence[Project]
) -> list[Problem]:
    """Return a problem if a case that the user names is in no set."""
    known = {
        case.id
        for request, project in zip(requests, projects, strict=True)
        for case in project.load(request.path)[0].cases
    }
    wanted = requests[0].selection.case_ids if requests else ()
    unknown = [case_id for case_id in wanted if case_id not in known]
    if not unknown:
        return []
    near = difflib.get_close_matches(unknown[0], known, n=1)
    advice = f" Did you mean {near[0]!r}?" if near else ""
    names = ", ".join(map(repr, unknown))
    return [Problem(message=f"no case of any set has the id {names}.{advice}")]


def _check(
    defined: CheckedRequest,
    narrow: RequestNarrower,
    project: Project,
    problems: list[Problem],
    context: Context,
) -> CheckedRequest:
    """Check one set, and add its problems to those of the others."""
    request, path = defined.request, defined.request.path
    evalset, found = project.load(path)
    own, unselected = request, None
    try:
        with open_guarded_gate(path, defined.commits.gate, project, context) as base_gate:
            refuse_new_access(base_gate.review)
            if base_gate.base_version is not None:
                evalset = merge_sets(base_gate.base_version.evalset, evalset)
            try:
                own = request if found else narrow(_keep_own_cases(request, evalset))
            except NothingSelected as error:
                # The set has to be valid all the same.
                own, unselected = replace(request, selection=Selection()), error
            asyncio.run(_open(apply_base_gate(own, base_gate), project))
    except NothingSelected as error:
        unselected = error
    except InvalidInput as error:
        _add_problems(error, path, problems)
    except (ApprovalNeeded, Undecidable):
        pass  # the run is refused for the same reason
    return replace(defined, request=own, unselected=unselected)


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


async def _open(request: RunRequest, project: Project) -> None:
    async with open_plan(request, project) as plan, open_agent(plan.agent, plan.agent_environment):
        pass


def _add_problems(error: InvalidInput, path: Path, problems: list[Problem]) -> None:
    whole = Location(path=display_path(path))
    found = (replace(problem, where=problem.where or whole) for problem in error.problems)
    problems += [problem for problem in found if problem not in problems]


def find_unrun(
    arguments: Sequence[Path],
    checked: Sequence[CheckedRequest],
    selection: Selection,
    context: Context,
    *,
    last_failed: bool,
) -> tuple[UnrunSet, ...]:
    """Return the sets that the arguments of a command lead to at the base, and that it does not run now.

    A set in which no case is selected does not run, unless only the cases that failed last are wanted.

    Raises:
        StoreError: the files of the base cannot be written.
    """
    found: list[UnrunSet] = []
    tops = [find_checkout(each.request.path.parent) for each in checked]
    for top in dict.fromkeys(tops):
        own = [each for each, its in zip(checked, tops, strict=True) if its == top]
        first = own[0]
        if first.commits.base:
            ref = BaseRef(name=first.commits.base, found_in="--base")
            running = [each.request.path for each in own if last_failed or not each.unselected]
            with checkout(ref, first.request.path, context) as base:
                found += find_unrun_sets(arguments, running, selection, base, context)
    return tuple(found)


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
                base=base.commit,
                against=against and find_against_commit(path, against, context),
            )
    return tuple(found[top] for top in tops)
