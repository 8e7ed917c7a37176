"""evalkit review: label answers by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.console import create_context, detect_screen, emit, is_interactive
from evalkit.cli.options import RunArgument, require_file_name, require_text
from evalkit.cli.output import exit_with_code, refuse_conflicting_options

if TYPE_CHECKING:
    from evalkit.commands.review.command import Review


def review(
    ref: RunArgument,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", callback=require_text, help="The rubric, if the run has several."
        ),
    ] = None,
    sample: Annotated[
        int,
        typer.Option(min=1, max=10_000, help="Number of answers to label, half of them random."),
    ] = 30,
    seed: Annotated[int, typer.Option(help="Seed of the random sample.")] = 0,
    rater: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", callback=require_text, help="Your name (default: git's user.name)."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=require_file_name,
            help="The labels file (default: in labels/, next to the set).",
        ),
    ] = None,
    csv_out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", callback=require_file_name, help="Write a worksheet for a spreadsheet."
        ),
    ] = None,
    csv_in: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Read a worksheet that you filled in.")
    ] = None,
) -> None:
    """Label answers of a run by hand."""
    from evalkit.commands.review import command
    from evalkit.report.review import review_text, worksheet_text

    refuse_conflicting_options(
        ("--csv-out and --csv-in exclude each other", csv_out is not None and csv_in is not None),
    )
    if csv_out is None and csv_in is None:
        require_terminal()
    request = command.ReviewRequest(
        ref=ref, metric=metric, sample=sample, seed=seed, rater=rater, out=out
    )
    prepared = command.prepare_review(request, create_context())
    if csv_out is not None:
        rows = command.export_worksheet(prepared, csv_out)
        emit(
            worksheet_text(csv_out, rows, prepared.format_import_command(csv_out), detect_screen())
        )
    elif csv_in is not None:
        emit(review_text(command.import_worksheet(prepared, csv_in), detect_screen()))
    else:
        run_review(prepared)


def require_terminal() -> None:
    """Refuse to review without a terminal.

    Raises:
        InvalidInput: stdin or stdout is not a terminal.
    """
    from evalkit.core.errors import InvalidInput

    if not is_interactive():
        raise InvalidInput.single(
            "evalkit review needs a terminal. Without one, write a worksheet with --csv-out FILE, "
            "fill it in, and read it with --csv-in FILE."
        )


def run_review(prepared: Review) -> None:
    """Review in the terminal, print a summary, and exit: 130 after ^C, 143 after a signal."""
    from evalkit.commands.review.loop import run_session
    from evalkit.commands.review.terminal import open_terminal
    from evalkit.report.review import review_text

    session = prepared.session
    prepared.save(session)  # fail before the first answer if the file cannot be written
    if session.items:
        with open_terminal(0, 1) as terminal:
            session = run_session(session, terminal, detect_screen(), prepared.save)
    emit(review_text(prepared.summarize(len(session.state.decisions)), detect_screen()))
    exit_with_code({"interrupted": 130, "stopped": 143}.get(session.ended, 0))
