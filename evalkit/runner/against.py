"""Run another version of the agent (`--against`); its run is the baseline of the candidate's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace

from evalkit.agents.paced_agent import open_paced_agent
from evalkit.agents.registry import Agent, check_agent
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec
from evalkit.core.files import path_exists
from evalkit.core.run import RunHeader
from evalkit.evalset.base_version import BaselineAgent, baseline_run_id
from evalkit.runner.cache_trust import read_store_key
from evalkit.runner.header import build_baseline_run_header
from evalkit.runner.records import Plan, RunOptions
from evalkit.runner.resume import (
    EarlierRun,
    open_writer,
    refuse_if_changed,
    select_finished_trials,
    select_unscored_trials,
)
from evalkit.runner.trial_sink import RunSide, TrialSink
from evalkit.store.run_lock import RunLock
from evalkit.store.run_seal import refuse_unsealed
from evalkit.store.runs import HEADER_FILE, read_run, runs_folder
from evalkit.store.seal import Seal


@asynccontextmanager
async def open_baseline_run(  # noqa: PLR0913 - both sides of a run have these
    version: BaselineAgent | None,
    header: RunHeader,
    plan: Plan,
    options: RunOptions,
    context: Context,
    *,
    guard: Callable[[Agent, AgentSpec], Agent],
) -> AsyncIterator[RunSide | None]:
    """Start or resume the run of another version of the agent; yield None if `version` is None.

    `guard` wraps the agent in the limits of the run.

    Raises:
        InvalidInput: that version cannot be called, or the run to resume ran something else.
    """
    if version is None:
        yield None
        return
    run_id = baseline_run_id(header.id)
    environment = replace(version.adapt_environment(plan.environment), run_id=run_id)
    if problems := check_agent(version.agent, plan.cases, environment):
        raise InvalidInput(problems)
    planned = build_baseline_run_header(header, version, plan)
    # The baseline run is stored with the candidate's, not in the temporary checkout.
    root = plan.environment.root
    folder = runs_folder(root) / run_id
    with ExitStack() as stack:
        earlier = None
        if options.resume and path_exists(folder / HEADER_FILE):
            lock = stack.enter_context(RunLock(folder))
            earlier = EarlierRun(run=read_run(folder), lock=lock)
            refuse_unsealed(earlier.run, Seal(read_store_key(plan.environment.environ)))
            planned = refuse_if_changed(earlier.run.header, planned)
        finished = select_finished_trials(earlier, options)
        answered = select_unscored_trials(earlier, finished)
        async with open_paced_agent(version.agent, environment, guard) as agent:
            with open_writer(root, planned, earlier, plan.environment.environ) as writer:
                sink = TrialSink(writer, finished, answered, context.open_progress)
                yield RunSide(spec=version.agent, agent=agent, header=planned, sink=sink)
