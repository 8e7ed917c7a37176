"""The commands that bring evalkit into a repository and its pull requests: init, ask, comment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.console import emit, real_screen, real_world, say
from evalkit.delivery import refuse_unlike
from evalkit.options import (
    AcceptChanges,
    Against,
    AgentVersion,
    AllowMissing,
    Base,
    Concurrency,
    Entrypoint,
    EvalSetPath,
    FixedTrials,
    RunId,
    RunRef,
)


def comment(
    ref: RunRef,
    baseline: Against = None,
    allow_missing_baseline: AllowMissing = False,
    base: Base = None,
    accept_gate_changes: AcceptChanges = False,
    post: Annotated[
        bool, typer.Option("--post", help="Post it to the pull request of this workflow run.")
    ] = False,
    pull_request: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="The pull request (default: the event's)."),
    ] = None,
    only_changes: Annotated[
        bool, typer.Option("--only-changes", help="No new comment where nothing changed.")
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Set a status of the commit as well.")
    ] = False,
) -> None:
    """Show a run as the comment of a pull request, or post it."""
    from evalkit.basing import GateChoice
    from evalkit.commands.comment import decide_again, render
    from evalkit.refs import BaselineChoice

    refuse_unlike(
        ("--pull-request goes with --post", pull_request is not None and not post),
        ("--only-changes goes with --post", only_changes and not post),
        ("--status goes with --post", status and not post),
    )
    world = real_world()
    choice = BaselineChoice(ref=baseline, allow_missing=allow_missing_baseline)
    gate = GateChoice(base=base, accept=accept_gate_changes)
    report = decide_again(ref, choice, gate, world)
    made = render(report, world)
    if not post:
        emit(made.text)
        return
    from evalkit.commands.posting import Delivery
    from evalkit.commands.posting import post as deliver_comment

    delivery = Delivery(pull_request=pull_request, only_news=only_changes, status=status)
    for line in deliver_comment(report, made, delivery, world):
        say(line)


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="Where to start (default: here).")
    ] = Path(),
    agent: Annotated[
        str | None,
        typer.Option(
            metavar="REF", help="Your agent: ./file.py:function or package.module:function."
        ),
    ] = None,
    forks: Annotated[
        bool, typer.Option("--forks", help="Workflows for pull requests from forks.")
    ] = False,
) -> None:
    """Write a set, a rubric and a workflow to start with."""
    from evalkit.commands.init import init as start
    from evalkit.reports.started import started_text

    refuse_unlike(("--agent is empty", agent == ""))
    emit(started_text(start(folder, agent, forks=forks, world=real_world()), real_screen()))


def ask(
    evalset: EvalSetPath,
    trials: FixedTrials = None,
    concurrency: Concurrency = None,
    agent: Entrypoint = None,
    agent_version: AgentVersion = None,
    run_id: RunId = None,
) -> None:
    """Ask the agent only; score and decide nothing."""
    from evalkit.commands.ask import ask as collect
    from evalkit.plan import Order
    from evalkit.reports.started import asked_text
    from evalkit.resuming import Choices

    order = Order(
        path=evalset,
        entrypoint=agent,
        needs_scores=False,
        overrides={"trials": trials, "concurrency": concurrency},
    )
    run = collect(order, Choices(agent_version=agent_version, run_id=run_id), real_world())
    emit(asked_text(run, real_screen()))
