"""`evalkit bisect`: find the commit that made the agent worse."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.bisect.commit_run import Workspace
from evalkit.bisect.history import (
    CommitRange,
    Scope,
    find_merge_base,
    list_files_changed_between,
    path_in_repository,
    read_range,
)
from evalkit.bisect.neighbors import list_other_changes
from evalkit.bisect.search import count_steps
from evalkit.bisect.session import BAD, GOOD, Limits, SearchResult, Session
from evalkit.bisect.verdict import Version, choose_measure, list_broken, measure_step
from evalkit.ci.base_files import borrow_repository
from evalkit.ci.borrowed_objects import Repository
from evalkit.ci.systems import BaseRef
from evalkit.core.context import Context
from evalkit.core.errors import EXIT_PASSED, Interrupted, StoreError, Undecidable
from evalkit.core.eval_set import EvalSet
from evalkit.core.format import format_count
from evalkit.core.run import Run
from evalkit.core.settings import SettingsOverrides
from evalkit.evalset.project import Project
from evalkit.report.bisect import BisectResult
from evalkit.report.content import value_cell
from evalkit.report.next_steps import CommandHints
from evalkit.runner.execute import execute
from evalkit.runner.preflight import estimate_cost
from evalkit.runner.records import RunRequest
from evalkit.store.baseline import baseline_path
from evalkit.store.runs import list_set_runs, read_run

DEFAULT_TRIALS = 4
"""Trials per case of a commit. Twice as many add little: the noise of the ends remains."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BisectRequest:
    """What the user asked for: two commits, a set, and which commits to test by what."""

    good: str
    bad: str
    path: Path
    metric: str | None = None
    paths: tuple[str, ...] = ()
    every: bool = False
    trials: int = DEFAULT_TRIALS
    overrides: SettingsOverrides

    @property
    def command(self) -> str:
        """The command as a user types it."""
        words = ["evalkit", "bisect", self.good, self.bad, str(self.path)]
        words += ["--metric", self.metric] if self.metric else []
        words += [word for path in self.paths for word in ("--path", path)]
        words += ["--all"] if self.every else []
        words += ["--trials", str(self.trials)] if self.trials != DEFAULT_TRIALS else []
        for name, value in self.overrides.given().items():
            words += [f"--{name.replace('_', '-')}", str(value)]
        return shlex.join(words)


def bisect(request: BisectRequest, context: Context) -> BisectResult:
    """Find the first commit after GOOD, up to BAD, whose agent is worse.

    Raises:
        EvalkitError: the request has a problem, BAD is not worse, or the search was interrupted.
    """
    project = Project.open(context, request.path)
    evalset = project.load_valid(request.path)
    measure = choose_measure(evalset, request.metric)
    try:
        with borrow_repository(
            BaseRef(name=request.good, found_in=GOOD), request.path, context
        ) as repository:
            scope = _build_scope(request, evalset, project, repository)
            history = read_range(repository, request.good, request.bad, scope, context.say)
            workspace = Workspace(
                project=project,
                repository=repository,
                context=context,
                execute=execute,
                request=RunRequest(
                    path=request.path, command="bisect", overrides=request.overrides
                ),
            )
            if evalset.agent is not None and evalset.agent.kind == "http":
                context.say(
                    "warning: evalkit does not start the agent's HTTP service, so every commit is answered "
                    "by the version that runs there now."
                )
            _say_estimate(request, evalset, history, project, context)
            limits = Limits(trials=request.trials, max_cost_usd=request.overrides.max_cost_usd)
            session = Session(workspace, history, measure, limits, request.command)
            found = session.search()
            return _build_result(request, evalset, session, found, workspace)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted. Every finished trial is stored. Continue with: {request.command}",
            signal.SIGINT,
        ) from None


def _build_scope(
    request: BisectRequest, evalset: EvalSet, project: Project, repository: Repository
) -> Scope:
    """Return which commits can have changed the agent: not those that edit only cases and the like."""
    path = project.root / project.relative(request.path)
    tables = {case.where.path for case in evalset.cases if case.where.path}
    cwd = project.cwd.resolve()
    # Messages, and so locations, name files as seen from the current folder.
    own = [baseline_path(path, evalset.name), *(cwd / name for name in tables)]
    return Scope(
        set_file=path_in_repository(repository, path),
        own_files=frozenset(filter(None, (path_in_repository(repository, each) for each in own))),
        paths=tuple(path_in_repository(repository, cwd / name) or name for name in request.paths),
        every=request.every,
    )


def _say_estimate(
    request: BisectRequest,
    evalset: EvalSet,
    history: CommitRange,
    project: Project,
    context: Context,
) -> None:
    """Say how many commits, steps, and calls of the agent a bisect has, and what they may cost."""
    commits, cases, trials = len(history.commits), len(evalset.cases), request.trials
    steps = count_steps(commits)
    bounds = [cases * (2 * trials + steps * each) for each in (1, trials)]
    newest = _read_newest_run(project, request.path)
    costs = [estimate_cost(newest, calls) for calls in bounds]
    left_out = ""
    if history.left_out:
        left_out = f" ({format_count(history.left_out, 'other commit')} left out)"
    context.say(
        f"bisecting {format_count(commits, 'commit')}{left_out} between {history.good.short} and "
        f"{history.bad.short}: about {format_count(steps, 'step')}"
    )
    calls = _join_bounds([f"{each:,}" for each in bounds])
    price = _join_bounds([value_cell(each, "usd") for each in costs if each is not None])
    context.say(
        f"{calls} agent calls{price and f', about {price}'}: {format_count(trials, 'trial')} of each of "
        f"{format_count(cases, 'case')} at GOOD and at BAD, then 1 to {trials} per step. Skipped commits "
        f"add steps; stored answers save calls."
    )


def _join_bounds(bounds: Sequence[str]) -> str:
    """Return two bounds as one text; empty if there are none."""
    return " to ".join(dict.fromkeys(bounds))


def _read_newest_run(project: Project, path: Path) -> Run | None:
    for folder in list_set_runs(project.root, project.relative(path)):
        with suppress(StoreError):  # only an estimate is made from it
            return read_run(folder)
    return None


def _build_result(
    request: BisectRequest,
    evalset: EvalSet,
    session: Session,
    found: SearchResult,
    workspace: Workspace,
) -> BisectResult:
    """Return what the search found, with the tests, files, and cases of that step."""
    search, ledger, history = found.search, session.ledger, session.history
    names = [GOOD, *(commit.short for commit in history.commits)]
    names[-1] = BAD if history.commits[-1].sha == history.bad.sha else f"{names[-1]} (as BAD)"
    suspects = tuple(history.commits[position - 1] for position in search.suspects)
    ends = [
        Version(name=names[each], run=run)
        for each in (search.good, search.bad)
        if (run := found.tested[each].run) is not None
    ]
    rule = found.step_rule.rule
    step = measure_step(found.step_rule, ends[0], ends[1], rule.alpha)
    last_good = history.commits[search.good - 1] if search.good else history.good
    one = suspects[0] if len(suspects) == 1 else None
    good = found.tested[0].run
    rows = tuple(each.row for _, each in sorted(found.tested.items()))
    before = suspects[0].parents[0] if suspects[0].parents else last_good.sha
    result = BisectResult(
        outcome="found" if one else "between",
        exit_code=EXIT_PASSED if one else Undecidable.exit_code,
        evalset=evalset.name,
        metric=rule.metric,
        good=history.good,
        bad=history.bad,
        found=one,
        suspects=suspects,
        last_good=last_good,
        change=found.change,
        step=step,
        tested=rows,
        errors_at_most=sum(ledger.levels),
        changed_files=list_files_changed_between(workspace.repository, before, suspects[-1].sha),
        broken=list_broken(good, ends[1].run) if good else (),
        other_changes=list_other_changes(found, names),
        caution=_warn_of_unlisted(history, search.suspects),
        commits=len(history.commits) + history.left_out,
        left_out=history.left_out,
        agent_calls=ledger.agent_calls,
        reused_answers=ledger.reused_answers,
        cost_usd=ledger.cost_usd if ledger.has_cost else None,
        stopped=found.stopped,
    )
    hints = _suggest(request, workspace, result, ends)
    again = {"continue": request.command} if found.is_out_of_money else {}
    return replace(result, hints={**again, **hints})


def _warn_of_unlisted(history: CommitRange, suspects: Sequence[int]) -> str:
    """Return that commits which `--path` leaves out may be the cause; empty if there are none."""
    unlisted = sum(history.unlisted[position - 1] for position in suspects)
    if not unlisted:
        return ""
    return (
        f"{format_count(unlisted, 'commit')} next to it, outside of --path, can have changed the agent "
        f"too. Without --path they are tested."
    )


def _suggest(
    request: BisectRequest, workspace: Workspace, result: BisectResult, ends: Sequence[Version]
) -> dict[str, str]:
    """Return the commands that a reader is likely to run next, by what they are for."""
    hints, last = CommandHints.of(workspace.project), result.suspects[-1]
    again = replace(request, good=result.last_good.short, bad=last.short)
    found = {}
    if result.found is not None:
        found["read the change"] = f"git show {last.short}"
    elif any(each.verdict == "skipped" and each.from_good for each in result.tested):
        found["decide with more trials"] = replace(again, trials=2 * request.trials).command
    if result.found is None:
        found["read the changes"] = f"git log -p {result.last_good.short}..{last.short}"
    found["compare the answers"] = (
        f"evalkit diff {' '.join(hints.name_run(end.run) for end in ends)}"
    )
    if result.found is not None and len(last.parents) > 1:
        base = find_merge_base(workspace.repository, last.parents[0], last.parents[1])
        inside = replace(again, good=base[:10], bad=last.parents[1][:10])
        found["search the merged branch"] = inside.command
    return found
