"""Run the agent of a commit with the present set, until it is decided, and use stored answers again."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from evalkit.agents.registry import check_agent
from evalkit.bisect.answers import find_stored_answers
from evalkit.bisect.search import next_look
from evalkit.ci.against import find_agent_at
from evalkit.ci.base_files import checkout_commit
from evalkit.ci.borrowed_objects import Repository
from evalkit.ci.commits import Commit
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput, Undecidable
from evalkit.core.run import Run, RunHeader
from evalkit.evalset.project import Project
from evalkit.report.bisect import CommitDescription
from evalkit.runner.records import (
    BaselineReader,
    Execution,
    NextStageFinder,
    Plan,
    RunOptions,
    RunRequest,
)

REMOTE_KINDS = ("http", "openai", "anthropic")
"""The kinds of agents that are no process of this machine, so that an outage is not the commit's fault."""


class Executor(Protocol):
    """Executes a run in the store, as `execute` in `evalkit.runner.execute` does."""

    def __call__(  # noqa: PLR0913 - those of `execute`
        self,
        request: RunRequest,
        options: RunOptions,
        project: Project,
        context: Context,
        read_baseline: BaselineReader,
        *,
        load_looks: Callable[[], NextStageFinder] | None = None,
    ) -> Execution:
        """Call the agent, score its outputs, and store every trial."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workspace:
    """Where commits are run: the project of the present set, the repository, and the request.

    `execute` executes one run; the command passes that of `evalkit.runner`.
    """

    project: Project
    repository: Repository
    context: Context
    request: RunRequest
    execute: Executor


@dataclass(frozen=True, kw_only=True, slots=True)
class LookPlan:
    """How often to run every case: `first` times, then more up to `most` times while `is_open`."""

    first: int
    most: int
    is_open: Callable[[Run], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class CommitRun:
    """The run of a commit, and what it needed.

    `agent_calls` counts its trials whose answers were not stored before. `cost_usd` is what the agent and
    the judges cost now. `interrupted_by` is a signal number, `out_of_money` says which limit is reached.
    """

    run: Run
    agent_calls: int
    reused_answers: int
    cost_usd: float
    interrupted_by: int | None = None
    out_of_money: str = ""


def run_commit(
    workspace: Workspace, commit: CommitDescription, looks: LookPlan, baseline: Run | None
) -> CommitRun:
    """Run every case of the present set with the agent of a commit.

    Answers of the same commit to the same inputs that are stored count as calls of the agent. They are scored
    again, by the metrics and labels of the present set.

    Raises:
        EvalkitError: the agent of the commit cannot be called, or a run could not be stored.
    """
    request, project = workspace.request, workspace.project
    at = Commit(name=commit.sha, sha=commit.sha, is_tip=True)
    with checkout_commit(workspace.repository, at) as files:
        version = find_agent_at(request.path, files, project, found_in=commit.short)
        evalset = project.load_valid(request.path)
        answers = find_stored_answers(project.root, commit.sha, version.agent, evalset.cases)
        overrides = replace(request.overrides, trials=looks.first)
        try:
            execution = workspace.execute(
                replace(request, agent_at=version, answers=answers, overrides=overrides),
                RunOptions(),
                project,
                workspace.context,
                lambda _: baseline,
                load_looks=lambda: _find_looks(looks),
            )
        except InvalidInput as error:
            # The temporary folder is gone when the message is read.
            raise InvalidInput.single(str(error).replace(f"{files.tree}{os.sep}", "")) from error
    _refuse_outage(execution)
    run = execution.run
    stored = {(trial.case_id, trial.number) for trial in answers}
    reused = sum((trial.case_id, trial.number) in stored for trial in run.trials)
    return CommitRun(
        run=run,
        agent_calls=len(run.trials) - reused,
        reused_answers=reused,
        cost_usd=execution.plan.costs.limit.spent_usd,
        interrupted_by=execution.stopped_by,
        out_of_money=execution.out_of_money,
    )


def _find_looks(looks: LookPlan) -> NextStageFinder:
    """Return the function that plans the trials of a run's next look."""

    def find(plan: Plan, run: Run, _: Run) -> RunHeader | None:
        trials = next_look(run.header.trials, looks.most)
        if trials is None or not looks.is_open(run):
            return None
        environment = replace(plan.agent_environment, trials=trials)
        # A recording may have fewer trials.
        if check_agent(plan.agent, plan.cases, environment):
            return None
        return replace(run.header, trials=trials)

    return find


def _refuse_outage(execution: Execution) -> None:
    """Raise Undecidable if a judge or the agent's endpoint is down, which no other commit would change."""
    if execution.stopped_by is not None or execution.out_of_money:
        return
    problem, trials = execution.judge_problem, execution.run.trials
    error = trials[-1].output.error if trials else None
    if reason := problem.message if problem else execution.judge_down:
        what = f"no judge answers any more ({reason.rstrip('.')})"
    elif (
        execution.unreachable
        and error is not None
        and error.retryable
        and execution.plan.agent.kind in REMOTE_KINDS
    ):
        what = f"the agent could not be reached ({error.message.rstrip('.')})"
    else:
        return
    raise Undecidable(f"{what}. The answers are stored. When that is over, give the command again.")
