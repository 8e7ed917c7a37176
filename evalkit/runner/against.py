"""What a run takes up: its own stored trials, and another version of the agent that runs alongside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.agents.registry import Agent, check_agent, open_agent
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec
from evalkit.core.run import Run, RunHeader
from evalkit.core.trial import Trial
from evalkit.evalset.base_version import baseline_run_id
from evalkit.runner.header import build_baseline_run_header
from evalkit.runner.plan import Plan, RunRequest
from evalkit.runner.resume import RunOptions, refuse_if_changed
from evalkit.runner.trial_sink import TrialSink
from evalkit.store.answers import load_answers
from evalkit.store.run_spans import with_spans
from evalkit.store.run_writer import RunWriter
from evalkit.store.runs import assemble_run, read_run, runs_folder


def open_writer(root: Path, header: RunHeader, earlier: Run | None) -> RunWriter:
    """Start a run in the store, or go on with an earlier one."""
    return RunWriter.reopen(Path(earlier.path)) if earlier else RunWriter.create(root, header)


def select_finished_trials(earlier: Run | None, choices: RunOptions) -> tuple[Trial, ...]:
    """The stored trials that are not to be run again.

    One whose agent failed, and has answered since, is not among them: that answer waits for its scores.
    """
    if earlier is None:
        return ()
    waiting = {(trial.case_id, trial.number) for trial in _load_unscored_answers(earlier)}
    return tuple(
        trial
        for trial in (*earlier.trials, *earlier.fresh)
        if trial.state == "scored"
        or not (
            choices.retry_errors
            or (trial.output.error is not None and (trial.case_id, trial.number) in waiting)
        )
    )


def select_unscored_trials(earlier: Run | None, kept: Sequence[Trial]) -> tuple[Trial, ...]:
    """The stored trials that have an output and lack a score: nobody pays for the output twice."""
    if earlier is None:
        return ()
    known = {(trial.case_id, trial.number) for trial in kept}
    # A trial that was stored with an output is one of these, scored since.
    rows = (*_load_unscored_answers(earlier), *earlier.trials, *earlier.fresh)
    latest = {(trial.case_id, trial.number): trial for trial in rows if trial.output.error is None}
    answered = tuple(trial for key, trial in latest.items() if key not in known)
    return with_spans(replace(earlier, trials=answered, fresh=())).trials


def _load_unscored_answers(earlier: Run) -> tuple[Trial, ...]:
    return () if earlier.finished else load_answers(Path(earlier.path))


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineRun:
    """The other version of the agent, ready to be asked, and where its run is stored."""

    spec: AgentSpec
    agent: Agent
    header: RunHeader
    sink: TrialSink

    @property
    def run(self) -> Run:
        """Its run, as far as it came."""
        run = assemble_run(self.header, self.sink.rows)
        return replace(run, path=str(self.sink.writer.folder))


@asynccontextmanager
async def open_baseline_run(
    order: RunRequest, header: RunHeader, plan: Plan, choices: RunOptions, world: Context
) -> AsyncIterator[BaselineRun | None]:
    """Start the agent of the other version and its run, or go on with that run; None without one."""
    rival = order.baseline_agent
    if rival is None:
        yield None
        return
    there = replace(rival.adapt_environment(plan.surroundings), run_id=baseline_run_id(header.id))
    problems = check_agent(rival.agent, plan.cases, there)
    if problems:
        raise InvalidInput(problems)
    planned = build_baseline_run_header(header, rival, plan)
    folder = runs_folder(plan.surroundings.root) / planned.id
    earlier = read_run(folder) if choices.resume and folder.exists() else None
    if earlier:
        planned = refuse_if_changed(earlier.header, planned)
    kept = select_finished_trials(earlier, choices)
    answered = select_unscored_trials(earlier, kept)
    async with open_agent(rival.agent, there) as agent:
        with open_writer(plan.surroundings.root, planned, earlier) as writer:
            desk = TrialSink(writer, kept, answered, world.open_progress)
            yield BaselineRun(spec=rival.agent, agent=agent, header=planned, sink=desk)
