"""The command in which a person looks at answers: review."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.console import emit, is_interactive, real_screen, real_world
from evalkit.delivery import check_targets, leave, refuse_unlike
from evalkit.options import RunRef

if TYPE_CHECKING:
    from evalkit.commands.review import Review


def review(
    ref: RunRef,
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
    from evalkit.commands import review as command
    from evalkit.errors import InvalidInput
    from evalkit.reports.review import reviewed_text, worksheet_text

    refuse_unlike(
        ("--csv-out and --csv-in do not go together", csv_out is not None and csv_in is not None),
        ("--rater is empty", rater == ""),
        ("--metric is empty", metric == ""),
    )
    check_targets(out, csv_out)
    if csv_out is None and csv_in is None and not is_interactive():
        raise InvalidInput.single(
            "review asks in a terminal, and there is none. Write a worksheet with --csv-out FILE, "
            "fill it in, and take it in with --csv-in FILE."
        )
    wish = command.Wish(ref=ref, metric=metric, sample=sample, seed=seed, rater=rater, out=out)
    prepared = command.prepare(wish, real_world())
    if csv_out is not None:
        rows = command.hand_out(prepared, csv_out)
        emit(worksheet_text(csv_out, rows, prepared.take_in(csv_out), real_screen()))
    elif csv_in is not None:
        emit(reviewed_text(command.fill_in(prepared, csv_in), real_screen()))
    else:
        hold(prepared)


def hold(prepared: Review) -> None:
    """Ask in the terminal, print what it came to, and exit: 130 after ^C, 143 after a signal."""
    from evalkit.reports.review import reviewed_text
    from evalkit.reviewing.conducting import conduct
    from evalkit.reviewing.terminal import open_terminal

    prepared.keep(prepared.sitting)
    sitting = prepared.sitting
    if sitting.items:
        with open_terminal(0, 1) as terminal:
            sitting = conduct(sitting, terminal, real_screen(), prepared.keep)
    emit(reviewed_text(prepared.sum_up(len(sitting.now.given)), real_screen()))
    leave({"interrupted": 130, "stopped": 143}.get(sitting.ended, 0))
