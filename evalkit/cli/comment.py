"""evalkit comment: post the results of stored runs to their pull request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from evalkit.cli.completion import complete_run
from evalkit.cli.console import create_context, emit, say
from evalkit.cli.option_groups import BaselineOptions
from evalkit.cli.output import refuse_conflicting_options

if TYPE_CHECKING:
    from evalkit.commands.comment import CommentOptions
    from evalkit.core.context import Context
    from evalkit.report.model import Report
    from evalkit.store.batches import BatchEntry


class CommentTexts(NamedTuple):
    """What the comment is about beside runs that are named, and what else it says."""

    sets: Annotated[
        list[Path],
        typer.Option(
            "--set",
            metavar="EVALSET",
            help="A set, folder, or pattern: the newest run of this commit of each set, or that it has none.",
        ),
    ] = []  # noqa: RUF012 - typer copies it
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
    check_name: Annotated[
        str,
        typer.Option("--check-name", metavar="NAME", help="The name of the check run of --check."),
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
    comparison: BaselineOptions,
    texts: CommentTexts,
    refs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN]...",
            autocompletion=complete_run,
            help="Runs, each by its id or a unique prefix, a path, 'latest', or an agent version.",
        ),
    ] = None,
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
        bool, typer.Option("--check", help="Also make a check run with annotations (GitHub).")
    ] = False,
) -> None:
    """Print or post the pull request comment of runs.

    Several runs have one comment. With --set, also say which sets have no run.
    """
    from evalkit.commands.comment import CommentOptions, evaluate_for_comment
    from evalkit.commands.named_runs import find_named_runs

    options = CommentOptions(
        post=post,
        pull_request=pull_request,
        only_changes=only_changes,
        status=status,
        check=check,
        check_name=texts.check_name,
        sets=", ".join(map(str, texts.sets)),
        key=texts.key,
        how_to_accept=texts.how_to_accept,
    )
    context = create_context()
    missing = texts.missing
    entries = find_named_runs(refs or (), context, texts.sets)
    refuse_conflicts(options, comparison, len(entries), is_empty=not entries and not missing)
    baseline, gate = comparison.choose_baseline(), comparison.choose_gate()
    evaluate = partial(
        evaluate_for_comment, baseline_choice=baseline, gate_choice=gate, context=context
    )
    if len(entries) > 1 or missing or texts.sets or not entries[0].has_run:
        comment_on_batch(entries, missing, evaluate, options, context)
    else:
        comment_on_run(evaluate(entries[0].run_id), options, context)


def refuse_conflicts(
    options: CommentOptions, comparison: BaselineOptions, runs: int, *, is_empty: bool
) -> None:
    """Refuse a comment on nothing, options that need `--post`, and a baseline for several runs."""
    silent = not options.post
    refuse_conflicting_options(
        ("name runs, or sets with --set EVALSET", is_empty),
        ("--pull-request requires --post", silent and options.pull_request is not None),
        ("--only-changes requires --post", silent and options.only_changes),
        ("--status requires --post", silent and options.status),
        ("--check requires --post", silent and options.check),
        ("--check-name requires --check", bool(options.check_name) and not options.check),
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
