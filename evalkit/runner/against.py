"""Run another version of the agent (`--against`); its run is the baseline of the candidate's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from evalkit.agents.paced_agent import open_paced_agent
from evalkit.agents.registry import check_agent
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.run import RunHeader
from evalkit.evalset.base_version import BaselineAgent, baseline_run_id
from evalkit.runner.header import build_baseline_run_header
from evalkit.runner.records import Plan, RunOptions
from evalkit.runner.resume import (
    open_writer,
    refuse_if_changed,
    select_finished_trials,
    select_unscored_trials,
)
from evalkit.runner.trial_sink import RunSide, TrialSink
from evalkit.store.runs import read_run, runs_folder


@asynccontextmanager
async def open_baseline_run(
    version: BaselineAgent | None,
    header: RunHeader,
    plan: Plan,
    options: RunOptions,
    context: Context,
) -> AsyncIterator[RunSide | None]:
    """Start or resume the run of another version of the agent; yield None if `version` is None.

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
    earlier = read_run(folder) if options.resume and folder.exists() else None
    if earlier:
        planned = refuse_if_changed(earlier.header, planned)
    finished = select_finished_trials(earlier, options)
    answered = select_unscored_trials(earlier, finished)
    async with open_paced_agent(version.agent, environment) as agent:
        with open_writer(root, planned, earlier) as writer:
            sink = TrialSink(writer, finished, answered, context.open_progress)
            yield RunSide(spec=version.agent, agent=agent, header=planned, sink=sink)
