"""evalkit comment: post a stored run's result to its pull request."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.cli.console import create_context, emit, say
from evalkit.cli.options import (
    AcceptGateChangesOption,
    AllowMissingBaselineOption,
    BaselineOption,
    BaseOption,
    RunArgument,
)
from evalkit.cli.output import refuse_conflicting_options


def comment(
    ref: RunArgument,
    baseline: BaselineOption = None,
    allow_missing_baseline: AllowMissingBaselineOption = False,
    base: BaseOption = None,
    accept_gate_changes: AcceptGateChangesOption = False,
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
    from evalkit.ci.base import GateChoice
    from evalkit.commands.comment import build_redacted_comment, evaluate_for_comment
    from evalkit.store.refs import BaselineChoice

    refuse_conflicting_options(
        ("--pull-request goes with --post", pull_request is not None and not post),
        ("--only-changes goes with --post", only_changes and not post),
        ("--status goes with --post", status and not post),
    )
    world = create_context()
    choice = BaselineChoice(ref=baseline, allow_missing=allow_missing_baseline)
    gate = GateChoice(base=base, accept=accept_gate_changes)
    report = evaluate_for_comment(ref, choice, gate, world)
    made = build_redacted_comment(report, world)
    if not post:
        emit(made.text)
        return
    from evalkit.commands.comment import CommentOptions
    from evalkit.commands.comment import post_report as deliver_comment

    delivery = CommentOptions(pull_request=pull_request, only_changes=only_changes, status=status)
    for line in deliver_comment(report, made, delivery, world):
        say(line)
