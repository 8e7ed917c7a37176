"""The command in which a person looks at answers: review."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.console import create_context, detect_screen, emit, is_interactive
from evalkit.cli.options import RunArgument
from evalkit.cli.output import check_report_paths, exit_with_code, refuse_conflicting_options

if TYPE_CHECKING:
    from evalkit.commands.review.command import Review


def review(
    ref: RunArgument,
    metric: Annotated[
        str | None, typer.Option(metavar="NAME", help="The rubric, where there are several.")
    ] = None,
    sample: Annotated[
        int, typer.Option(min=1, max=10_000, help="Answers to look at, half of them by lot.")
    ] = 30,
    seed: Annotated[int, typer.Option(help="Of the lots.")] = 0,
    rater: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who you are (default: git's user.name).")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The labels file (default: labels/, beside the set)."),
    ] = None,
    csv_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a worksheet for a spreadsheet.")
    ] = None,
    csv_in: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Take in a worksheet that was filled in.")
    ] = None,
) -> None:
    """Look at some answers yourself, and keep what you think of them."""
    from evalkit.commands.review import command
    from evalkit.core.errors import InvalidInput
    from evalkit.report.review import review_text, worksheet_text

    refuse_conflicting_options(
        ("--csv-out and --csv-in do not go together", csv_out is not None and csv_in is not None),
        ("--rater is empty", rater == ""),
        ("--metric is empty", metric == ""),
    )
    check_report_paths(out, csv_out)
    if csv_out is None and csv_in is None and not is_interactive():
        raise InvalidInput.single(
            "review asks in a terminal, and there is none. Write a worksheet with --csv-out FILE, "
            "fill it in, and take it in with --csv-in FILE."
        )
    wish = command.ReviewRequest(
        ref=ref, metric=metric, sample=sample, seed=seed, rater=rater, out=out
    )
    prepared = command.prepare_review(wish, create_context())
    if csv_out is not None:
        rows = command.export_worksheet(prepared, csv_out)
        emit(
            worksheet_text(csv_out, rows, prepared.format_import_command(csv_out), detect_screen())
        )
    elif csv_in is not None:
        emit(review_text(command.import_worksheet(prepared, csv_in), detect_screen()))
    else:
        run_review(prepared)


def run_review(prepared: Review) -> None:
    """Ask in the terminal, print what it came to, and exit: 130 after ^C, 143 after a signal."""
    from evalkit.commands.review.loop import run_session
    from evalkit.commands.review.terminal import open_terminal
    from evalkit.report.review import review_text

    prepared.save(prepared.session)
    sitting = prepared.session
    if sitting.items:
        with open_terminal(0, 1) as terminal:
            sitting = run_session(sitting, terminal, detect_screen(), prepared.save)
    emit(review_text(prepared.summarize(len(sitting.state.decisions)), detect_screen()))
    exit_with_code({"interrupted": 130, "stopped": 143}.get(sitting.ended, 0))
