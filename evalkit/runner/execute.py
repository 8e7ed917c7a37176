"""Execute a plan as a run in the store: call the agent, or rescore stored outputs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

from evalkit.agents.paced_agent import open_paced_agent
from evalkit.core.context import Context
from evalkit.core.errors import Interrupted, InvalidInput, Undecidable
from evalkit.core.run import Run, RunHeader
from evalkit.evalset.project import Project
from evalkit.gate.judge_trust import explain_controls
from evalkit.judge.judge_panel import JudgePanel
from evalkit.runner.against import open_baseline_run
from evalkit.runner.answer_cache import open_answer_cache, open_answer_store
from evalkit.runner.cost_warnings import add_cost_warnings
from evalkit.runner.guarded_agent import guard_agent
from evalkit.runner.header import build_rescore_header, build_run_header
from evalkit.runner.looks import count_planned_looks, find_next_stage
from evalkit.runner.plan import open_plan
from evalkit.runner.records import (
    BaselineReader,
    Execution,
    NextStageFinder,
    Plan,
    RunOptions,
    RunRequest,
)
from evalkit.runner.rescore import rescore_baseline
from evalkit.runner.resume import (
    EarlierRun,
    adopt_stored_settings,
    open_resumable_run,
    open_writer,
    refuse_if_changed,
    select_finished_trials,
    select_unscored_trials,
)
from evalkit.runner.signals import StopRequest, run_stoppable
from evalkit.runner.stages import run_stages
from evalkit.runner.trial_sink import RunSide, TrialSink
from evalkit.store.costs import load_costs
from evalkit.store.run_spans import with_spans

RESERVED_RUN_IDS = ("latest", "baseline")
RUN_ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def no_baseline(_: Plan) -> None:
    """Return None: a run that becomes the baseline is compared with nothing."""


def execute(  # noqa: PLR0913 - most commands leave the last one out
    request: RunRequest,
    options: RunOptions,
    project: Project,
    context: Context,
    read_baseline: BaselineReader,
    *,
    load_looks: Callable[[], NextStageFinder] | None = None,
) -> Execution:
    """Execute a run, store each trial as it finishes, and return the result.

    `load_looks` imports the function that finds the next stage of the run; without it, that of the gate.

    Raises:
        EvalkitError: the request, the environment, the baseline or the store has a problem.
    """
    _refuse_run_id(options)
    with open_resumable_run(request, options, project) as earlier:
        if earlier:
            request = adopt_stored_settings(request, earlier.run.header)
            if options.agent_version is None:
                version = earlier.run.header.agent_version
                options = replace(options, agent_version=version)
        run = partial(
            _execute,
            request,
            options,
            project,
            context,
            read_baseline,
            load_looks=load_looks or _load_looks,
            earlier=earlier,
        )
        return asyncio.run(run_stoppable(lambda stop: run(stop=stop)))


def _refuse_run_id(options: RunOptions) -> None:
    """Raise InvalidInput if a run's id cannot name a folder, or is a reserved name."""
    if options.run_id in RESERVED_RUN_IDS:
        raise InvalidInput.single(
            f"--run-id {options.run_id!r} is a reserved name. Choose another one."
        )
    if options.run_id is not None and not RUN_ID_PATTERN.fullmatch(options.run_id):
        raise InvalidInput.single(
            f"--run-id {options.run_id!r} cannot name a folder. "
            f"Use up to 100 letters, digits, '.', '_' and '-', a letter or digit first."
        )


async def _execute(  # noqa: PLR0913 - what `execute` takes, the run to continue, and how it is stopped
    request: RunRequest,
    options: RunOptions,
    project: Project,
    context: Context,
    read_baseline: BaselineReader,
    *,
    load_looks: Callable[[], NextStageFinder],
    earlier: EarlierRun | None,
    stop: StopRequest,
) -> Execution:
    async with AsyncExitStack() as stack:
        store = stack.enter_context(open_answer_store(options, project))
        plan = await stack.enter_async_context(open_plan(request, project))
        await stack.enter_async_context(_warm_up_judge(plan.panel))
        stop.on_request(plan.panel.stop)
        if earlier:
            plan.costs.restore(load_costs(earlier.lock.folder))
        # Before the first call of the agent: a broken baseline must not cost a whole run.
        baseline = await _read_current_baseline(read_baseline, plan, context, stop)
        own_header = build_run_header(plan, request, options, project, context)
        header = _settle_header(own_header, plan, earlier, baseline)
        finished = select_finished_trials(earlier, options)
        answered = (*request.answers, *select_unscored_trials(earlier, finished))
        environment = replace(
            plan.agent_environment, run_id=header.id, records_inputs=options.cache
        )

        guard = partial(guard_agent, plan=plan, stop=stop)
        async with (
            open_baseline_run(
                request.baseline_agent, header, plan, options, context, guard=guard
            ) as against,
            open_paced_agent(plan.agent, environment, guard) as paced,
        ):
            with (
                open_answer_cache(paced, store, plan, project, context) as agent,
                open_writer(project.root, header, earlier, project.environ) as writer,
            ):
                plan.costs.store_with(writer.append_cost)
                candidate = RunSide(
                    spec=plan.agent,
                    agent=agent,
                    header=header,
                    sink=TrialSink(writer, finished, answered, context.open_progress),
                )
                execution = await run_stages(
                    plan,
                    candidate,
                    baseline,
                    load_looks,
                    stop,
                    against=against,
                    exit_first=options.exit_first,
                )
            return add_cost_warnings(execution, plan, context)


def _settle_header(
    header: RunHeader, plan: Plan, earlier: EarlierRun | None, baseline: Run | None
) -> RunHeader:
    """Return the header of the run to continue, or the new one with its number of looks."""
    if earlier:
        return refuse_if_changed(earlier.run.header, header)
    return replace(header, looks=count_planned_looks(plan, baseline))


def _load_looks() -> NextStageFinder:
    """Return the function that finds the next stage, after loading numpy, which takes 0.1 s."""
    import evalkit.compare.history  # noqa: PLC0415 - needed at the end of every run
    import evalkit.gate.next_stage  # noqa: F401, PLC0415

    return find_next_stage


@asynccontextmanager
async def _warm_up_judge(panel: JudgePanel) -> AsyncIterator[None]:
    """Load the judge's client in the background, while the rest of the run is prepared."""
    warming = asyncio.ensure_future(panel.warm_up())
    try:
        yield
        await warming
    finally:
        warming.cancel()


async def _read_current_baseline(
    read_baseline: BaselineReader, plan: Plan, context: Context, stop: StopRequest
) -> Run | None:
    """Return the baseline; rescore its outputs for the metrics that have changed since.

    A shard is not compared with its baseline, so nothing is rescored for it.

    Raises:
        Interrupted: a stop was requested meanwhile.
    """
    baseline = read_baseline(plan)
    if baseline is None or plan.selection.shard:
        return baseline
    with stop.busy():
        rescored = await stop.finish_in_time(rescore_baseline(baseline, plan, context.say))
    if stop.signal_number is not None:
        raise Interrupted(
            "interrupted while the baseline was scored again. Its verdicts so far are cached. "
            "Give the command again to continue.",
            stop.signal_number,
        )
    return rescored


def rescore_baseline_for(
    run: Run, baseline: Run | None, request: RunRequest, project: Project, context: Context
) -> Run | None:
    """Return a baseline that can be compared with a stored run of the whole set; rescore it if needed.

    Raises:
        Undecidable: the judge that rescored it is not trusted.
        EvalkitError: the set or the environment has a problem.
    """

    async def rescore_by_plan(stop: StopRequest) -> Run | None:
        async with open_plan(request, project) as plan:
            stop.on_request(plan.panel.stop)
            rescored = await _read_current_baseline(lambda _: baseline, plan, context, stop)
            trust = await stop.finish_in_time(plan.panel.finish())
            if rescored and (problem := explain_controls(replace(rescored, trust=trust))):
                raise Undecidable(f"the baseline was judged again, and {problem}")
            return rescored

    if baseline is None:
        return None
    defined = {info.name: info.definition for info in baseline.header.metrics}
    is_current = all(
        info.is_pairwise or defined.get(info.name) == info.definition for info in run.header.metrics
    )
    return baseline if is_current else asyncio.run(run_stoppable(rescore_by_plan))


def score_stored_run(  # noqa: PLR0913 - the arguments of `execute`, and the run to score
    source: Run,
    request: RunRequest,
    options: RunOptions,
    project: Project,
    context: Context,
    *,
    read_baseline: BaselineReader,
) -> Execution:
    """Score the outputs of a stored run with the current set, as a new run; call no agent.

    Raises:
        EvalkitError: the set, the environment, the baseline or the store has a problem.
    """
    _refuse_run_id(options)
    request = replace(
        adopt_stored_settings(request, source.header), command="score", needs_agent=False
    )
    with open_resumable_run(request, options, project) as earlier:
        score = partial(
            _score_stored_run,
            source,
            request,
            options,
            project,
            context,
            read_baseline=read_baseline,
            earlier=earlier,
        )
        return asyncio.run(run_stoppable(lambda stop: score(stop=stop)))


async def _score_stored_run(  # noqa: PLR0913 - as for `_execute`
    source: Run,
    request: RunRequest,
    options: RunOptions,
    project: Project,
    context: Context,
    *,
    read_baseline: BaselineReader,
    earlier: EarlierRun | None,
    stop: StopRequest,
) -> Execution:
    async with open_plan(request, project) as plan:
        stop.on_request(plan.panel.stop)
        if earlier:
            plan.costs.restore(load_costs(earlier.lock.folder))
        baseline = await _read_current_baseline(read_baseline, plan, context, stop)
        header = build_rescore_header(plan, source, options, context)
        if earlier:
            header = refuse_if_changed(earlier.run.header, header)
        source = with_spans(source)
        finished = select_finished_trials(earlier, options)
        known = {(trial.case_id, trial.number) for trial in finished}
        rows = [
            row
            for row in (*source.trials, *source.fresh)
            if row.case_id in plan.scorers and (row.case_id, row.number) not in known
        ]
        answered = [row for row in rows if row.output.error is None]
        with open_writer(project.root, header, earlier, project.environ) as writer:
            plan.costs.store_with(writer.append_cost)
            sink = TrialSink(writer, finished, answered, context.open_progress)
            # Failed calls are kept as they are: there is nothing to score.
            for row in rows:
                if row.output.error is not None:
                    sink.save(row)
            side = RunSide(spec=plan.agent, agent=None, header=header, sink=sink)
            return await run_stages(plan, side, baseline, _load_looks, stop)
