"""`evalkit ask`: call the agent and store its answers, without scores and without a decision."""

from __future__ import annotations

from dataclasses import replace

from evalkit.core.context import Context
from evalkit.core.errors import Interrupted, Undecidable
from evalkit.core.run import Run
from evalkit.evalset.project import Project
from evalkit.report.next_steps import CommandHints
from evalkit.runner.execute import execute, no_baseline
from evalkit.runner.records import RunOptions, RunRequest


def ask(request: RunRequest, options: RunOptions, context: Context) -> Run:
    """Collect the answers to a set, to be scored elsewhere (`evalkit score RUN --set EVALSET`).

    Store a trial that ends in an error as an error; the gate counts it later.

    Raises:
        Interrupted: by a signal; finished trials are stored.
        Undecidable: the agent could not be reached, or a cost limit is reached.
    """
    project = Project.open(context, request.path)
    request = replace(request, command="ask", needs_scores=False)
    hints = CommandHints.of(project)
    execution = execute(request, options, project, context, no_baseline)
    if execution.stopped_by is not None:
        raise Interrupted(
            f"interrupted; finished trials are stored. Continue with: {hints.resume(execution.run)}",
            execution.stopped_by,
        )
    if execution.out_of_money:
        raise Undecidable(
            f"run {hints.name_run(execution.run)} is incomplete, because "
            f"{execution.out_of_money}. The answers so far are stored. With a higher limit, run: "
            f"{hints.resume(execution.run, retry_errors=True)}"
        )
    if not execution.run.finished:
        again = hints.resume(execution.run, retry_errors=True)
        raise Undecidable(
            f"run {hints.name_run(execution.run)} is incomplete: the agent could not be reached. "
            f"When it is back, run: {again}"
        )
    return execution.run
