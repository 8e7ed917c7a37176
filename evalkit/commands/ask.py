"""`evalkit ask`: ask the agent and store its answers; nothing is scored and nothing decided."""

from __future__ import annotations

from evalkit.core.context import Context
from evalkit.core.errors import Interrupted, Undecidable
from evalkit.core.run import Run
from evalkit.report.next_steps import CommandHints
from evalkit.runner.execute import execute, no_baseline
from evalkit.runner.plan import RunRequest
from evalkit.runner.resume import RunOptions


def ask(order: RunRequest, choices: RunOptions, world: Context) -> Run:
    """Ask every case of a set, for somebody else to score (`evalkit score RUN --set EVALSET`).

    A case that ends in an error is stored as such: whoever decides counts it.

    Raises:
        Interrupted: by a signal; what is done is stored.
        Undecidable: the agent could not be reached.
    """
    execution = execute(order, choices, world, no_baseline)
    if execution.stopped_by is not None:
        raise Interrupted("interrupted; what is done is stored.", execution.stopped_by)
    if execution.unreachable or not execution.run.finished:
        place = CommandHints(root=execution.plan.surroundings.root, cwd=world.cwd)
        raise Undecidable(
            f"run {place.name_run(execution.run)} is not whole: the agent could not be reached."
        )
    return execution.run
