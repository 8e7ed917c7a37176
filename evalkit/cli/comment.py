"""evalkit comment: post the results of stored runs to their pull request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from evalkit.cli.console import create_context, emit, say
from evalkit.cli.option_groups import BaselineOptions
from evalkit.cli.options import RunsArgument
from evalkit.cli.output import refuse_conflicting_options

if TYPE_CHECKING:
    from evalkit.commands.comment import CommentOptions
    from evalkit.core.context import Context
    from evalkit.report.model import Report
    from evalkit.store.batches import BatchEntry


class CommentTexts(NamedTuple):
    """What the comment says beside the results, for scripts."""

    missing: Annotated[
        list[str],
        typer.Option(
            "--missing",
            metavar="LABEL: REASON",
            help="Say in the comment that a set has no run, and why.",
        ),
    ] = []  # noqa: RUF012 - typer copies it
    key: Annotated[
        str,
        typer.Option(
            "--key", metavar="HEX", help="Identify the comment by this key (default: by the set)."
        ),
    ] = ""
    how_to_accept: Annotated[
        str,
        typer.Option(
            "--how-to-accept",
            metavar="TEXT",
            help="How a failing change is accepted, for the comment.",
        ),
    ] = ""


def comment(
    refs: RunsArgument,
    comparison: BaselineOptions,
    texts: CommentTexts,
    post: Annotated[
        bool, typer.Option("--post", help="Post it to the pull or merge request of this build.")
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
    check: Annotated[
        bool,
        typer.Option("--check", help="Also make a check run with annotations (GitHub)."),
    ] = False,
) -> None:
    """Print or post the pull request comment of runs.

    Several runs have one comment.
    """
    from evalkit.commands.comment import CommentOptions, evaluate_for_comment
    from evalkit.commands.named_runs import find_named_runs

    options = CommentOptions(
        post=post,
        pull_request=pull_request,
        only_changes=only_changes,
        status=status,
        check=check,
        key=texts.key,
        how_to_accept=texts.how_to_accept,
    )
    context = create_context()
    entries = find_named_runs(refs, context)
    refuse_conflicts(options, comparison, len(entries))
    evaluate = partial(
        evaluate_for_comment,
        baseline_choice=comparison.choose_baseline(),
        gate_choice=comparison.choose_gate(),
        context=context,
    )
    if len(entries) > 1 or texts.missing or not entries[0].has_run:
        comment_on_batch(entries, texts.missing, evaluate, options, context)
    else:
        comment_on_run(evaluate(entries[0].run_id), options, context)


def refuse_conflicts(options: CommentOptions, comparison: BaselineOptions, runs: int) -> None:
    """Refuse options that need `--post`, and a baseline for several runs."""
    silent = not options.post
    refuse_conflicting_options(
        ("--pull-request requires --post", silent and options.pull_request is not None),
        ("--only-changes requires --post", silent and options.only_changes),
        ("--status requires --post", silent and options.status),
        ("--check requires --post", silent and options.check),
        (
            "--baseline names a run of one set; name one run",
            comparison.baseline is not None and runs > 1,
        ),
    )


def comment_on_run(report: Report, options: CommentOptions, context: Context) -> None:
    """Print or post the comment of one run."""
    from evalkit.commands.comment import build_redacted_comment, post_report

    text = build_redacted_comment(report, options, context)
    if not options.post:
        emit(text.text)
        return
    for line in post_report(report, text, options, context):
        say(line)


def comment_on_batch(
    entries: Sequence[BatchEntry],
    missing: Sequence[str],
    evaluate: Callable[[str], Report],
    options: CommentOptions,
    context: Context,
) -> None:
    """Print or post the comment of several runs and of sets without one."""
    from evalkit.cli.errors import describe_error
    from evalkit.commands.batch import add_missing, collect_runs
    from evalkit.commands.comment import build_redacted_batch_comment, post_batch

    batch = add_missing(collect_runs(entries, evaluate, describe_error, context), missing)
    text = build_redacted_batch_comment(batch, options, context)
    if not options.post:
        emit(text.text)
        return
    for line in post_batch(batch, text, options, context):
        say(line)
