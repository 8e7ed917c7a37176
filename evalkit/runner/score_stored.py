"""Score the outputs of a stored run with today's eval set, as a run of its own."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from evalkit.core.context import Context
from evalkit.core.run import Run
from evalkit.runner.execute import BaselineReader, Execution, _run_stages, read_current_baseline
from evalkit.runner.header import build_rescore_header
from evalkit.runner.plan import RunRequest, open_plan
from evalkit.runner.resume import (
    adopt_stored_settings,
)
from evalkit.runner.trial_sink import TrialSink
from evalkit.store.run_spans import with_spans
from evalkit.store.run_writer import RunWriter


def rescore_baseline_for(
    run: Run, baseline: Run | None, order: RunRequest, world: Context
) -> Run | None:
    """A baseline as it has to be scored to be compared with a stored run of the whole set.

    Raises:
        EvalkitError: whatever is wrong with the set or the environment.
    """

    async def renew() -> Run | None:
        async with open_plan(order, world.cwd, world.environ) as plan:
            return await read_current_baseline(lambda _: baseline, plan, world)

    if baseline is None:
        return None
    defined = {info.name: info.definition for info in baseline.header.metrics}
    is_alike = all(defined.get(info.name) == info.definition for info in run.header.metrics)
    return baseline if is_alike else asyncio.run(renew())


def score_stored_run(
    source: Run, order: RunRequest, world: Context, baseline_of: BaselineReader
) -> Execution:
    """Score the outputs of a run again, by today's set, as a run of its own; no agent is asked.

    Raises:
        EvalkitError: whatever is wrong with the set, the environment, the baseline or the store.
    """
    return asyncio.run(_score_stored_run(source, order, world, baseline_of))


async def _score_stored_run(
    source: Run, order: RunRequest, world: Context, baseline_of: BaselineReader
) -> Execution:
    order = replace(adopt_stored_settings(order, source.header), needs_agent=False)
    async with open_plan(order, world.cwd, world.environ) as plan:
        baseline = await read_current_baseline(baseline_of, plan, world)
        header = build_rescore_header(plan, source, world)
        source = with_spans(source)
        rows = [row for row in (*source.trials, *source.fresh) if row.case_id in plan.scorers]
        lost = [row for row in rows if row.output.error is not None]
        answered = [row for row in rows if row.output.error is None]
        with RunWriter.create(plan.surroundings.root, header) as writer:
            desk = TrialSink(writer, (), answered, world.open_progress)
            for row in lost:
                desk.save(row)
            return await _run_stages(plan, header, baseline, None, desk)
