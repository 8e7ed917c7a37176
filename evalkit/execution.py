"""Carries out a plan: a new or resumed run in the store, the agent asked, signals obeyed."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

from evalkit.agents import Agent, open_agent
from evalkit.agents.caching import CachingAgent, NoAgent, agent_key
from evalkit.baseline import write_renewed
from evalkit.cache import Cache, cache_folder
from evalkit.desk import Desk
from evalkit.errors import InvalidInput
from evalkit.headers import describe_run, describe_scoring
from evalkit.judgement import Trust
from evalkit.judging.panel import Panel
from evalkit.opponents import (
    Opponent,
    answered_trials,
    kept_trials,
    open_opponent,
    open_writer,
)
from evalkit.plan import Order, Plan, open_plan
from evalkit.records import AgentSpec, Output, Problem, Run, RunHeader
from evalkit.redaction import Redactor
from evalkit.rescoring import bring_up_to_date, settle_judges
from evalkit.resuming import Choices, adopt_stored, find_earlier, refuse_if_changed
from evalkit.runner import Limits, Runner, StopSign, Work, assign, run_all, take_turns
from evalkit.steps import with_spans
from evalkit.store import RunWriter, assemble_run
from evalkit.world import World

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""^C, a CI system's cancel, a terminal that is closed."""

RESERVED = ("latest", "baseline")
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


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
    refused: Problem | None = None
    waiting: int = 0

    @property
    def complete(self) -> bool:
        """Whether nothing kept the run from its end."""
        return self.stopped_by is None and not self.unreachable and not self.judge_down


BaselineReader: TypeAlias = Callable[[Plan], Run | None]
"""Finds what a plan's run will be compared with, before anything is spent on the run."""


def no_baseline(_: Plan) -> None:
    """A run that is to be a baseline is compared with nothing."""


def execute(order: Order, choices: Choices, world: World, baseline_of: BaselineReader) -> Execution:
    """Run what is ordered and store it trial by trial; says how far it came.

    Raises:
        EvalkitError: whatever is wrong with the order, the environment, the baseline or the store.
    """
    if choices.run_id in RESERVED:
        raise InvalidInput.single(
            f"--run-id {choices.run_id!r} means another run wherever a run is named. Choose a name."
        )
    if choices.run_id is not None and not RUN_ID.fullmatch(choices.run_id):
        raise InvalidInput.single(
            f"--run-id {choices.run_id!r} cannot name a folder. "
            f"Use up to 100 letters, digits, '.', '_' and '-', a letter or digit first."
        )
    return asyncio.run(_execute(order, choices, world, baseline_of))


async def _execute(
    order: Order, choices: Choices, world: World, baseline_of: BaselineReader
) -> Execution:
    earlier = find_earlier(order, choices, world) if choices.resume else None
    if earlier:
        order = adopt_stored(order, earlier.header)
    async with open_plan(order, world.cwd, world.environ) as plan, warmed_up(plan.panel):
        baseline = await read_up_to_date(baseline_of, plan, world)
        if earlier and choices.agent_version is None:
            choices = replace(choices, agent_version=earlier.header.agent_version)
        header = describe_run(plan, order, choices, world)
        if earlier:
            header = refuse_if_changed(earlier.header, header)
        elif baseline is not None:
            from evalkit.staging import plan_looks  # noqa: PLC0415 - see _load_gate

            header = replace(header, looks=plan_looks(plan, baseline))
        surroundings = replace(plan.surroundings, run_id=header.id)
        kept = kept_trials(earlier, choices)
        answered = answered_trials(earlier, kept)
        async with (
            open_opponent(order, header, plan, choices, world) as opponent,
            open_agent(plan.agent, surroundings) as agent,
        ):
            cache = Cache(cache_folder(plan.surroundings.root, "outputs"), Output)
            key = agent_key(plan.agent, header.source_digest, plan.surroundings.environ)
            asked = CachingAgent(agent, cache, key) if choices.cache else agent
            with open_writer(plan.surroundings.root, header, earlier) as writer:
                desk = Desk(writer, kept, answered, world.watch)
                execution = await _run_stages(
                    plan, header, baseline, asked, desk, opponent=opponent
                )
            for warning in cache.warnings.values():
                world.say(f"warning: {warning}")
            return execution


@asynccontextmanager
async def warmed_up(panel: Panel) -> AsyncIterator[None]:
    """Have the judge's client loaded while all else gets ready."""
    warming = asyncio.ensure_future(panel.warm_up())
    try:
        yield
        await warming
    finally:
        warming.cancel()


def renew_for(run: Run, baseline: Run | None, order: Order, world: World) -> Run | None:
    """A baseline as it has to be scored to be compared with a stored run of the whole set.

    Raises:
        EvalkitError: whatever is wrong with the set or the environment.
    """

    async def renew() -> Run | None:
        async with open_plan(order, world.cwd, world.environ) as plan:
            return await read_up_to_date(lambda _: baseline, plan, world)

    if baseline is None:
        return None
    defined = {info.name: info.definition for info in baseline.header.metrics}
    is_alike = all(defined.get(info.name) == info.definition for info in run.header.metrics)
    return baseline if is_alike else asyncio.run(renew())


def score_stored(source: Run, order: Order, world: World, baseline_of: BaselineReader) -> Execution:
    """Score the outputs of a run again, by today's set, as a run of its own; no agent is asked.

    Raises:
        EvalkitError: whatever is wrong with the set, the environment, the baseline or the store.
    """
    return asyncio.run(_score_stored(source, order, world, baseline_of))


async def _score_stored(
    source: Run, order: Order, world: World, baseline_of: BaselineReader
) -> Execution:
    order = replace(adopt_stored(order, source.header), needs_agent=False)
    async with open_plan(order, world.cwd, world.environ) as plan:
        baseline = await read_up_to_date(baseline_of, plan, world)
        header = describe_scoring(plan, source, world)
        source = with_spans(source)
        rows = [row for row in (*source.trials, *source.fresh) if row.case_id in plan.scorers]
        lost = [row for row in rows if row.output.error is not None]
        answered = [row for row in rows if row.output.error is None]
        with RunWriter.create(plan.surroundings.root, header) as writer:
            desk = Desk(writer, (), answered, world.watch)
            for row in lost:
                desk.save(row)
            return await _run_stages(plan, header, baseline, None, desk)


async def read_up_to_date(baseline_of: BaselineReader, plan: Plan, world: World) -> Run | None:
    """The baseline, its stored outputs scored again where they were scored otherwise.

    A part of a sharded run decides nothing, and has nothing scored again for it.
    """
    baseline = baseline_of(plan)
    if plan.selection.shard:
        return baseline
    return await bring_up_to_date(baseline, plan, world.say) if baseline is not None else None


def _limits_of(plan: Plan, spec: AgentSpec) -> Limits:
    return Limits(
        concurrency=plan.settings.concurrency,
        room=plan.room,
        timeout_s=spec.timeout_s,
        attempts=spec.attempts,
        retry_deadline_s=plan.settings.retry_deadline_s,
    )


async def _run_stages(  # noqa: PLR0913 - both sides of a run, and what they are compared by
    plan: Plan,
    header: RunHeader,
    baseline: Run | None,
    agent: Agent | None,
    desk: Desk,
    *,
    opponent: Opponent | None = None,
) -> Execution:
    """Run what the header calls for, then whatever its results call for in turn.

    Without an agent only outputs that are there are scored. An opponent is run alongside, in turns,
    and its run is the baseline.
    """
    panel = plan.panel
    runner = Runner(
        agent or NoAgent(),
        _limits_of(plan, plan.agent),
        desk,
        seed=plan.settings.seed,
        redactor=Redactor(plan.surroundings.environ),
        halted=lambda: panel.halted,
    )
    other = opponent and runner.beside(
        opponent.agent, _limits_of(plan, opponent.spec), opponent.desk
    )
    stop = StopSign()
    unreachable = False
    stage: RunHeader | None = header
    with _obeyed_signals(stop) as signals:
        getting_ready = asyncio.ensure_future(_get_ready(panel))
        while stage is not None:
            header = stage
            with desk.watched(header):
                wanted = assign(header, plan.scorers, desk.done, desk.answered)
                if agent is None:
                    wanted = (each for each in wanted if each.answered is not None)
                work: Iterable[Work] = ((runner, each) for each in wanted)
                if opponent and other:
                    theirs = assign(
                        opponent.header, plan.scorers, opponent.desk.done, opponent.desk.answered
                    )
                    work = take_turns(((other, each) for each in theirs), work)
                await run_all(work, stop)
            unreachable = runner.unreachable or bool(other and other.unreachable)
            complete = not signals and not unreachable and not panel.halted
            if complete and opponent:
                baseline = opponent.run
            if complete:
                header, baseline = await _by_one_judge(plan, header, baseline, desk)
                complete = not panel.halted
            run = assemble_run(header, desk.rows)
            stage = _go_on(plan, run, baseline) if complete and agent is not None else None
            if stage is not None:
                desk.writer.rewrite_header(stage)
        await getting_ready
        trust = await _store_trust(panel, run, desk) if complete else None
    if complete and opponent:
        _finish(opponent.desk.writer, opponent.run)
    if complete:
        if baseline is not None and baseline.is_renewed:
            write_renewed(baseline, desk.writer.folder)
        _finish(desk.writer, replace(run, path=str(desk.writer.folder)))
    return Execution(
        run=replace(run, path=str(desk.writer.folder), finished=complete, trust=trust),
        plan=plan,
        baseline=baseline,
        stopped_by=signals[0] if signals else None,
        unreachable=unreachable,
        judge_down=panel.halted,
        refused=panel.refused,
        waiting=len(desk.waiting),
    )


async def _get_ready(panel: Panel) -> None:
    """Have the judge ready, then what weighs the results, while the agents are at work."""
    await panel.start()
    await asyncio.to_thread(_load_gate)


def _load_gate() -> None:
    """Load what only results call for: numpy takes a tenth of a second."""
    import evalkit.history  # noqa: PLC0415
    import evalkit.staging  # noqa: F401, PLC0415


def _go_on(plan: Plan, run: Run, baseline: Run | None) -> RunHeader | None:
    """What a run that did all it set out to do goes on to do; None when it is at its end."""
    if baseline is None:
        return None
    from evalkit.staging import next_stage  # noqa: PLC0415 - see _load_gate

    return next_stage(plan, run, baseline)


def _finish(writer: RunWriter, run: Run) -> None:
    from evalkit.history import summary_of  # noqa: PLC0415 - see _load_gate

    writer.finish(summary_of(with_spans(replace(run, finished=False))))


async def _by_one_judge(
    plan: Plan, header: RunHeader, baseline: Run | None, desk: Desk
) -> tuple[RunHeader, Run | None]:
    """Have the judge that serves judge what one before it did, so that both sides have one judge.

    Should it go down meanwhile, the next one judges all of it once more.
    """
    serving = None
    while plan.panel.has_judge and serving is not plan.panel.serving:
        serving = plan.panel.serving
        header = await _settle_rows(plan, header, desk)
        baseline = await settle_judges(baseline, plan) if baseline else None
    return header, baseline


async def _settle_rows(plan: Plan, header: RunHeader, desk: Desk) -> RunHeader:
    """Have the judge that serves judge what another one did, and store it."""
    run = assemble_run(header, desk.rows)
    settled = await settle_judges(run, plan)
    before = {(trial.case_id, trial.number): trial for trial in (*run.trials, *run.fresh)}
    for trial in (*settled.trials, *settled.fresh):
        if trial is not before[trial.case_id, trial.number]:
            desk.replace(trial)
    if settled.header != header:
        desk.writer.rewrite_header(settled.header)
    return settled.header


async def _store_trust(panel: Panel, run: Run, desk: Desk) -> Trust | None:
    """Wait for what is still to be seen of the judges, and store it."""
    scores = (score for trial in (*run.trials, *run.fresh) for score in trial.scores)
    trust = await panel.finish(score.judgement for score in scores if score.judgement is not None)
    if not trust.judges:
        return None
    desk.writer.write_trust(trust)
    return trust


@contextmanager
def _obeyed_signals(stop: StopSign) -> Iterator[list[int]]:
    """Turn ^C and a CI system's cancel into a stop; yields the signals that came."""
    loop = asyncio.get_running_loop()
    came: list[int] = []

    def obey(number: int) -> None:
        came.append(number)
        stop.ask()

    for number in STOPPING:
        loop.add_signal_handler(number, obey, number)
    try:
        yield came
    finally:
        for number in STOPPING:
            loop.remove_signal_handler(number)
