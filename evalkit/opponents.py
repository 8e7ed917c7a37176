"""What a run takes up: its own stored trials, and another version of the agent that runs alongside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.agents import Agent, check_agent, open_agent
from evalkit.answerfile import load_answers
from evalkit.desk import Desk
from evalkit.errors import InvalidInput
from evalkit.headers import describe_rival
from evalkit.holding import rival_id
from evalkit.plan import Order, Plan
from evalkit.records import AgentSpec, Run, RunHeader, Trial
from evalkit.resuming import Choices, refuse_if_changed
from evalkit.steps import with_spans
from evalkit.store import RunWriter, assemble_run, read_run, runs_folder
from evalkit.world import World


def open_writer(root: Path, header: RunHeader, earlier: Run | None) -> RunWriter:
    """Start a run in the store, or go on with an earlier one."""
    return RunWriter.reopen(Path(earlier.path)) if earlier else RunWriter.create(root, header)


def kept_trials(earlier: Run | None, choices: Choices) -> tuple[Trial, ...]:
    """The stored trials that are not to be run again.

    One whose agent failed, and has answered since, is not among them: that answer waits for its scores.
    """
    if earlier is None:
        return ()
    waiting = {(trial.case_id, trial.number) for trial in _waiting_answers(earlier)}
    return tuple(
        trial
        for trial in (*earlier.trials, *earlier.fresh)
        if trial.state == "scored"
        or not (
            choices.retry_errors
            or (trial.output.error is not None and (trial.case_id, trial.number) in waiting)
        )
    )


def answered_trials(earlier: Run | None, kept: Sequence[Trial]) -> tuple[Trial, ...]:
    """The stored trials that have an output and lack a score: nobody pays for the output twice."""
    if earlier is None:
        return ()
    known = {(trial.case_id, trial.number) for trial in kept}
    # A trial that was stored with an output is one of these, scored since.
    rows = (*_waiting_answers(earlier), *earlier.trials, *earlier.fresh)
    latest = {(trial.case_id, trial.number): trial for trial in rows if trial.output.error is None}
    answered = tuple(trial for key, trial in latest.items() if key not in known)
    return with_spans(replace(earlier, trials=answered, fresh=())).trials


def _waiting_answers(earlier: Run) -> tuple[Trial, ...]:
    return () if earlier.finished else load_answers(Path(earlier.path))


@dataclass(frozen=True, kw_only=True, slots=True)
class Opponent:
    """The other version of the agent, ready to be asked, and where its run is stored."""

    spec: AgentSpec
    agent: Agent
    header: RunHeader
    desk: Desk

    @property
    def run(self) -> Run:
        """Its run, as far as it came."""
        run = assemble_run(self.header, self.desk.rows)
        return replace(run, path=str(self.desk.writer.folder))


@asynccontextmanager
async def open_opponent(
    order: Order, header: RunHeader, plan: Plan, choices: Choices, world: World
) -> AsyncIterator[Opponent | None]:
    """Start the agent of the other version and its run, or go on with that run; None without one."""
    rival = order.rival
    if rival is None:
        yield None
        return
    there = replace(rival.surround(plan.surroundings), run_id=rival_id(header.id))
    problems = check_agent(rival.agent, plan.cases, there)
    if problems:
        raise InvalidInput(problems)
    planned = describe_rival(header, rival, plan)
    folder = runs_folder(plan.surroundings.root) / planned.id
    earlier = read_run(folder) if choices.resume and folder.exists() else None
    if earlier:
        planned = refuse_if_changed(earlier.header, planned)
    kept = kept_trials(earlier, choices)
    answered = answered_trials(earlier, kept)
    async with open_agent(rival.agent, there) as agent:
        with open_writer(plan.surroundings.root, planned, earlier) as writer:
            desk = Desk(writer, kept, answered, world.watch)
            yield Opponent(spec=rival.agent, agent=agent, header=planned, desk=desk)
