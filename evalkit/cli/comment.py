"""evalkit comment: post a stored run's result to its pull request."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.cli.console import create_context, emit, say
from evalkit.cli.option_groups import BaselineOptions
from evalkit.cli.options import RunArgument
from evalkit.cli.output import refuse_conflicting_options


def comment(
    ref: RunArgument,
    comparison: BaselineOptions,
    post: Annotated[
        bool, typer.Option("--post", help="Post it to the pull request of this workflow run.")
    ] = False,
    pull_request: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Number of the pull request (default: from the event)."
        ),
    ] = None,
    only_changes: Annotated[
        bool, typer.Option("--only-changes", help="Post no new comment if nothing changed.")
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Also set a status on the commit.")
    ] = False,
    key: Annotated[
        str,
        typer.Option(metavar="HEX", help="Identify the comment by this key (default: by the set)."),
    ] = "",
    how_to_accept: Annotated[
        str,
        typer.Option(metavar="TEXT", help="How a failing change is accepted, for the comment."),
    ] = "",
) -> None:
    """Print or post the pull request comment of a run."""
    from evalkit.commands.comment import (
        CommentOptions,
        build_redacted_comment,
        evaluate_for_comment,
        post_report,
    )

    refuse_conflicting_options(
        ("--pull-request requires --post", pull_request is not None and not post),
        ("--only-changes requires --post", only_changes and not post),
        ("--status requires --post", status and not post),
    )
    context = create_context()
    report = evaluate_for_comment(
        ref, comparison.choose_baseline(), comparison.choose_gate(), context
    )
    text = build_redacted_comment(report, context, key=key, how_to_accept=how_to_accept)
    if not post:
        emit(text.text)
        return
    options = CommentOptions(pull_request=pull_request, only_changes=only_changes, status=status)
    for line in post_report(report, text, options, context):
        say(line)
