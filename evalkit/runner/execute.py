"""Execute a plan as a run in the store: call the agent, or rescore stored outputs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from evalkit.agents.paced_agent import open_paced_agent
from evalkit.agents.wrappers import CachingAgent, compute_agent_key
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.run import Run
from evalkit.core.trial import Output
from evalkit.evalset.project import Project
from evalkit.judge.panel import Panel
from evalkit.runner.against import open_baseline_run
from evalkit.runner.header import build_rescore_header, build_run_header
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
    adopt_stored_settings,
    find_resumable_run,
    open_writer,
    refuse_if_changed,
    select_finished_trials,
    select_unscored_trials,
)
from evalkit.runner.stages import run_stages
from evalkit.runner.trial_sink import RunSide, TrialSink
from evalkit.store.cache import Cache, cache_folder
from evalkit.store.run_spans import with_spans
from evalkit.store.run_writer import RunWriter

RESERVED_RUN_IDS = ("latest", "baseline")
RUN_ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def no_baseline(_: Plan) -> None:
    """Return None: a run that becomes the baseline is compared with nothing."""


def execute(
    request: RunRequest,
    options: RunOptions,
    project: Project,
    context: Context,
    read_baseline: BaselineReader,
) -> Execution:
    """Execute a run, store each trial as it finishes, and return the result.

    Raises:
        EvalkitError: the request, the environment, the baseline or the store has a problem.
    """
    if options.run_id in RESERVED_RUN_IDS:
        raise InvalidInput.single(
            f"--run-id {options.run_id!r} is a reserved name. Choose another one."
        )
    if options.run_id is not None and not RUN_ID_PATTERN.fullmatch(options.run_id):
        raise InvalidInput.single(
            f"--run-id {options.run_id!r} cannot name a folder. "
            f"Use up to 100 letters, digits, '.', '_' and '-', a letter or digit first."
        )
    return asyncio.run(_execute(request, options, project, context, read_baseline))


async def _execute(
    request: RunRequest,
    options: RunOptions,
    project: Project,
    context: Context,
    read_baseline: BaselineReader,
) -> Execution:
    earlier = find_resumable_run(request, options, project) if options.resume else None
    if earlier:
        request = adopt_stored_settings(request, earlier.header)
        if options.agent_version is None:
            options = replace(options, agent_version=earlier.header.agent_version)
    async with open_plan(request, project) as plan, _warm_up_judge(plan.panel):
        # Before the first call of the agent: a broken baseline must not cost a whole run.
        baseline = await _read_current_baseline(read_baseline, plan, context)
        header = build_run_header(plan, request, options, project, context)
        if earlier:
            header = refuse_if_changed(earlier.header, header)
        elif baseline is not None:
            from evalkit.runner.looks import count_planned_looks  # noqa: PLC0415 - loads numpy

            header = replace(header, looks=count_planned_looks(plan, baseline))
        finished = select_finished_trials(earlier, options)
        answered = select_unscored_trials(earlier, finished)
        environment = replace(plan.environment, run_id=header.id)
        async with (
            open_baseline_run(request.baseline_agent, header, plan, options, context) as against,
            open_paced_agent(plan.agent, environment) as agent,
        ):
            cache = Cache(cache_folder(project.root, "outputs"), Output)
            # The key includes the agent's code, so an edited agent misses the cache.
            key = compute_agent_key(plan.agent, header.source_digest, project.environ)
            with open_writer(project.root, header, earlier) as writer:
                candidate = RunSide(
                    spec=plan.agent,
                    agent=CachingAgent(agent, cache, key) if options.cache else agent,
                    header=header,
                    sink=TrialSink(writer, finished, answered, context.open_progress),
                )
                execution = await run_stages(
                    plan,
                    candidate,
                    baseline,
                    _load_looks,
                    against=against,
                    exit_first=options.exit_first,
                )
            for warning in cache.warnings.values():
                context.say(f"warning: {warning}")
            return execution


def _load_looks() -> NextStageFinder:
    """Import and return the function that finds the next stage; it loads numpy, which takes 0.1 s."""
    import evalkit.compare.history  # noqa: F401, PLC0415 - needed at the end of every run
    from evalkit.runner.looks import find_next_stage  # noqa: PLC0415

    return find_next_stage


@asynccontextmanager
async def _warm_up_judge(panel: Panel) -> AsyncIterator[None]:
    """Load the judge's client in the background, while the rest of the run is prepared."""
    warming = asyncio.ensure_future(panel.warm_up())
    try:
        yield
        await warming
    finally:
        warming.cancel()


async def _read_current_baseline(
    read_baseline: BaselineReader, plan: Plan, context: Context
) -> Run | None:
    """Return the baseline; rescore its outputs for the metrics that have changed since.

    A shard is not compared with its baseline, so nothing is rescored for it.
    """
    baseline = read_baseline(plan)
    if baseline is None or plan.selection.shard:
        return baseline
    return await rescore_baseline(baseline, plan, context.say)


def rescore_baseline_for(
    run: Run, baseline: Run | None, request: RunRequest, project: Project, context: Context
) -> Run | None:
    """Return a baseline that can be compared with a stored run of the whole set; rescore it if needed.

    Raises:
        EvalkitError: the set or the environment has a problem.
    """

    async def rescore_by_plan() -> Run | None:
        async with open_plan(request, project) as plan:
            return await _read_current_baseline(lambda _: baseline, plan, context)

    if baseline is None:
        return None
    defined = {info.name: info.definition for info in baseline.header.metrics}
    is_current = all(defined.get(info.name) == info.definition for info in run.header.metrics)
    return baseline if is_current else asyncio.run(rescore_by_plan())


def score_stored_run(
    source: Run,
    request: RunRequest,
    project: Project,
    context: Context,
    read_baseline: BaselineReader,
) -> Execution:
    """Score the outputs of a stored run with the current set, as a new run; call no agent.

    Raises:
        EvalkitError: the set, the environment, the baseline or the store has a problem.
    """
    request = replace(adopt_stored_settings(request, source.header), needs_agent=False)
    return asyncio.run(_score_stored_run(source, request, project, context, read_baseline))


async def _score_stored_run(
    source: Run,
    request: RunRequest,
    project: Project,
    context: Context,
    read_baseline: BaselineReader,
) -> Execution:
    async with open_plan(request, project) as plan:
        baseline = await _read_current_baseline(read_baseline, plan, context)
        header = build_rescore_header(plan, source, context)
        source = with_spans(source)
        rows = [row for row in (*source.trials, *source.fresh) if row.case_id in plan.scorers]
        answered = [row for row in rows if row.output.error is None]
        with RunWriter.create(project.root, header) as writer:
            sink = TrialSink(writer, (), answered, context.open_progress)
            # Failed calls are kept as they are: there is nothing to score.
            for row in rows:
                if row.output.error is not None:
                    sink.save(row)
            side = RunSide(spec=plan.agent, agent=None, header=header, sink=sink)
            return await run_stages(plan, side, baseline, _load_looks)
