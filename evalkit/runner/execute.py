"""Carries out a plan: a new or resumed run in the store, the agent asked, signals obeyed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

from evalkit.agents.registry import Agent, open_agent
from evalkit.agents.wrappers import CachingAgent, NoAgent, compute_agent_key
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec
from evalkit.core.judgement import JudgeTrust
from evalkit.core.location import Problem
from evalkit.core.redaction import Redactor
from evalkit.core.run import Run, RunHeader
from evalkit.core.trial import Output
from evalkit.judge.panel import Panel
from evalkit.runner.against import (
    BaselineRun,
    open_baseline_run,
    open_writer,
    select_finished_trials,
    select_unscored_trials,
)
from evalkit.runner.header import build_run_header
from evalkit.runner.plan import Plan, RunRequest, open_plan
from evalkit.runner.rescore import rejudge, rescore_baseline
from evalkit.runner.resume import (
    RunOptions,
    adopt_stored_settings,
    find_resumable_run,
    refuse_if_changed,
)
from evalkit.runner.scheduler import (
    RunLimits,
    Runner,
    Work,
    interleave,
    list_pending_trials,
    run_all,
)
from evalkit.runner.signals import StopRequest, _stop_on_signals
from evalkit.runner.trial_sink import TrialSink
from evalkit.store.baseline import write_rescored_baseline
from evalkit.store.cache import Cache, cache_folder
from evalkit.store.run_spans import with_spans
from evalkit.store.run_writer import RunWriter
from evalkit.store.runs import assemble_run

RESERVED_RUN_IDS = ("latest", "baseline")
RUN_ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """A run as far as it came; `stopped_by` is the signal that ended it early, if one did.

    `waiting` answers are stored and not scored.
    """

    run: Run
    plan: Plan
    baseline: Run | None = None
    stopped_by: int | None = None
    unreachable: bool = False
    judge_down: str = ""
    judge_problem: Problem | None = None
    unscored_answers: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether nothing kept the run from its end."""
        return self.stopped_by is None and not self.unreachable and not self.judge_down


BaselineReader: TypeAlias = Callable[[Plan], Run | None]
"""Finds what a plan's run will be compared with, before anything is spent on the run."""


def no_baseline(_: Plan) -> None:
    """A run that is to be a baseline is compared with nothing."""


def execute(
    order: RunRequest, choices: RunOptions, world: Context, baseline_of: BaselineReader
) -> Execution:
    """Run what is ordered and store it trial by trial; says how far it came.

    Raises:
        EvalkitError: whatever is wrong with the order, the environment, the baseline or the store.
    """
    if choices.run_id in RESERVED_RUN_IDS:
        raise InvalidInput.single(
            f"--run-id {choices.run_id!r} means another run wherever a run is named. Choose a name."
        )
    if choices.run_id is not None and not RUN_ID_PATTERN.fullmatch(choices.run_id):
        raise InvalidInput.single(
            f"--run-id {choices.run_id!r} cannot name a folder. "
            f"Use up to 100 letters, digits, '.', '_' and '-', a letter or digit first."
        )
    return asyncio.run(_execute(order, choices, world, baseline_of))


async def _execute(
    order: RunRequest, choices: RunOptions, world: Context, baseline_of: BaselineReader
) -> Execution:
    earlier = find_resumable_run(order, choices, world) if choices.resume else None
    if earlier:
        order = adopt_stored_settings(order, earlier.header)
    async with open_plan(order, world.cwd, world.environ) as plan, warm_up_judge(plan.panel):
        baseline = await read_current_baseline(baseline_of, plan, world)
        if earlier and choices.agent_version is None:
            choices = replace(choices, agent_version=earlier.header.agent_version)
        header = build_run_header(plan, order, choices, world)
        if earlier:
            header = refuse_if_changed(earlier.header, header)
        elif baseline is not None:
            from evalkit.runner.stages import count_planned_looks  # noqa: PLC0415 - see _load_gate

            header = replace(header, looks=count_planned_looks(plan, baseline))
        surroundings = replace(plan.surroundings, run_id=header.id)
        kept = select_finished_trials(earlier, choices)
        answered = select_unscored_trials(earlier, kept)
        async with (
            open_baseline_run(order, header, plan, choices, world) as opponent,
            open_agent(plan.agent, surroundings) as agent,
        ):
            cache = Cache(cache_folder(plan.surroundings.root, "outputs"), Output)
            key = compute_agent_key(plan.agent, header.source_digest, plan.surroundings.environ)
            asked = CachingAgent(agent, cache, key) if choices.cache else agent
            with open_writer(plan.surroundings.root, header, earlier) as writer:
                desk = TrialSink(writer, kept, answered, world.open_progress)
                execution = await _run_stages(
                    plan, header, baseline, asked, desk, opponent=opponent
                )
            for warning in cache.warnings.values():
                world.say(f"warning: {warning}")
            return execution


@asynccontextmanager
async def warm_up_judge(panel: Panel) -> AsyncIterator[None]:
    """Have the judge's client loaded while all else gets ready."""
    warming = asyncio.ensure_future(panel.warm_up())
    try:
        yield
        await warming
    finally:
        warming.cancel()


async def read_current_baseline(
    baseline_of: BaselineReader, plan: Plan, world: Context
) -> Run | None:
    """The baseline, its stored outputs scored again where they were scored otherwise.

    A part of a sharded run decides nothing, and has nothing scored again for it.
    """
    baseline = baseline_of(plan)
    if plan.selection.shard:
        return baseline
    return await rescore_baseline(baseline, plan, world.say) if baseline is not None else None


def _build_limits(plan: Plan, spec: AgentSpec) -> RunLimits:
    return RunLimits(
        concurrency=plan.settings.concurrency,
        max_in_flight=plan.max_in_flight,
        timeout_s=spec.timeout_s,
        attempts=spec.attempts,
        retry_deadline_s=plan.settings.retry_deadline_s,
    )


async def _run_stages(  # noqa: PLR0913 - both sides of a run, and what they are compared by
    plan: Plan,
    header: RunHeader,
    baseline: Run | None,
    agent: Agent | None,
    desk: TrialSink,
    *,
    opponent: BaselineRun | None = None,
) -> Execution:
    """Run what the header calls for, then whatever its results call for in turn.

    Without an agent only outputs that are there are scored. An opponent is run alongside, in turns,
    and its run is the baseline.
    """
    panel = plan.panel
    runner = Runner(
        agent or NoAgent(),
        _build_limits(plan, plan.agent),
        desk,
        seed=plan.settings.seed,
        redactor=Redactor(plan.surroundings.environ),
        halted=lambda: panel.down_reason,
    )
    other = opponent and runner.share_limits(
        opponent.agent, _build_limits(plan, opponent.spec), opponent.sink
    )
    stop = StopRequest()
    unreachable = False
    stage: RunHeader | None = header
    with _stop_on_signals(stop) as signals:
        getting_ready = asyncio.ensure_future(_prepare(panel))
        while stage is not None:
            header = stage
            with desk.report_progress(header):
                wanted = list_pending_trials(header, plan.scorers, desk.done, desk.answered)
                if agent is None:
                    wanted = (each for each in wanted if each.answered is not None)
                work: Iterable[Work] = ((runner, each) for each in wanted)
                if opponent and other:
                    theirs = list_pending_trials(
                        opponent.header, plan.scorers, opponent.sink.done, opponent.sink.answered
                    )
                    work = interleave(((other, each) for each in theirs), work)
                await run_all(work, stop)
            unreachable = runner.unreachable or bool(other and other.unreachable)
            complete = not signals and not unreachable and not panel.down_reason
            if complete and opponent:
                baseline = opponent.run
            if complete:
                header, baseline = await _unify_judges(plan, header, baseline, desk)
                complete = not panel.down_reason
            run = assemble_run(header, desk.rows)
            stage = (
                _find_next_stage(plan, run, baseline) if complete and agent is not None else None
            )
            if stage is not None:
                desk.writer.rewrite_header(stage)
        await getting_ready
        trust = await _store_trust(panel, run, desk) if complete else None
    if complete and opponent:
        _finish(opponent.sink.writer, opponent.run)
    if complete:
        if baseline is not None and baseline.is_rescored:
            write_rescored_baseline(baseline, desk.writer.folder)
        _finish(desk.writer, replace(run, path=str(desk.writer.folder)))
    return Execution(
        run=replace(run, path=str(desk.writer.folder), finished=complete, trust=trust),
        plan=plan,
        baseline=baseline,
        stopped_by=signals[0] if signals else None,
        unreachable=unreachable,
        judge_down=panel.down_reason,
        judge_problem=panel.problem_to_fix,
        unscored_answers=len(desk.unscored),
    )


async def _prepare(panel: Panel) -> None:
    """Have the judge ready, then what weighs the results, while the agents are at work."""
    await panel.start()
    await asyncio.to_thread(_import_gate)


def _import_gate() -> None:
    """Load what only results call for: numpy takes a tenth of a second."""
    import evalkit.compare.history  # noqa: PLC0415
    import evalkit.runner.stages  # noqa: F401, PLC0415


def _find_next_stage(plan: Plan, run: Run, baseline: Run | None) -> RunHeader | None:
    """What a run that did all it set out to do goes on to do; None when it is at its end."""
    if baseline is None:
        return None
    from evalkit.runner.stages import find_next_stage  # noqa: PLC0415 - see _load_gate

    return find_next_stage(plan, run, baseline)


def _finish(writer: RunWriter, run: Run) -> None:
    from evalkit.compare.history import build_summary  # noqa: PLC0415 - see _load_gate

    writer.finish(build_summary(with_spans(replace(run, finished=False))))


async def _unify_judges(
    plan: Plan, header: RunHeader, baseline: Run | None, desk: TrialSink
) -> tuple[RunHeader, Run | None]:
    """Have the judge that serves judge what one before it did, so that both sides have one judge.

    Should it go down meanwhile, the next one judges all of it once more.
    """
    serving = None
    while plan.panel.has_judge and serving is not plan.panel.active_judge:
        serving = plan.panel.active_judge
        header = await _rejudge_trials(plan, header, desk)
        baseline = await rejudge(baseline, plan) if baseline else None
    return header, baseline


async def _rejudge_trials(plan: Plan, header: RunHeader, desk: TrialSink) -> RunHeader:
    """Have the judge that serves judge what another one did, and store it."""
    run = assemble_run(header, desk.rows)
    settled = await rejudge(run, plan)
    before = {(trial.case_id, trial.number): trial for trial in (*run.trials, *run.fresh)}
    for trial in (*settled.trials, *settled.fresh):
        if trial is not before[trial.case_id, trial.number]:
            desk.replace(trial)
    if settled.header != header:
        desk.writer.rewrite_header(settled.header)
    return settled.header


async def _store_trust(panel: Panel, run: Run, desk: TrialSink) -> JudgeTrust | None:
    """Wait for what is still to be seen of the judges, and store it."""
    scores = (score for trial in (*run.trials, *run.fresh) for score in trial.scores)
    trust = await panel.finish(score.judgement for score in scores if score.judgement is not None)
    if not trust.judges:
        return None
    desk.writer.write_trust(trust)
    return trust
