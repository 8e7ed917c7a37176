"""What a review came to, as text: the labels there are, and what they are good for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evalkit.reports.layout import Screen, finish
from evalkit.spelling import count_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Reviewed:
    """What there is after a review.

    `given` levels are new, `labels` are in the file of this rubric, by `raters`; `left` were picked and
    are undecided. `drawn` of the run's scored `cases` were drawn by lot and are decided, of `wanted`. `go_on`,
    `draw_more`, `calibrate` and `show` are the commands that lead on, empty where there is nothing to do.
    """

    run: str
    rubric: str
    rater: str
    file: str
    given: int
    labels: int
    raters: int
    left: int
    drawn: int
    wanted: int
    cases: int
    go_on: str = ""
    draw_more: str = ""
    calibrate: str = ""
    show: str = ""


def reviewed_text(reviewed: Reviewed, screen: Screen) -> str:
    """Render it for a terminal: sentences, then commands."""
    sentences = [line for each in _sentences(reviewed) for line in screen.fold(each)]
    commands = [
        line for label, command in _commands(reviewed) for line in (f"  {label}:", f"    {command}")
    ]
    return finish([sentences, commands])


def worksheet_text(path: Path, rows: int, command: str, screen: Screen) -> str:
    """What to do with a worksheet."""
    if not rows:
        return finish([screen.fold(f"{path}: nothing is left to decide; it has no rows.")])
    text = (
        f"{path}: {count_of(rows, 'level')} to fill in, in the column `level`, with one of the words in "
        "the column `levels`; `note` may say why. Rows left empty are passed by. Then:"
    )
    return finish([screen.fold(text), [f"  {command}"]])


def _sentences(reviewed: Reviewed) -> Iterator[str]:
    by = f" by {count_of(reviewed.raters, 'rater')}" if reviewed.raters > 1 else ""
    new = f"{count_of(reviewed.given, 'new level')} by {reviewed.rater}"
    yield (
        f"{new}; {reviewed.file} holds {count_of(reviewed.labels, 'label')} of "
        f"{reviewed.rubric}{by}."
        if reviewed.labels
        else f"Nothing was decided, and {reviewed.file} holds no label of {reviewed.rubric}."
    )
    if reviewed.left:
        yield f"{count_of(reviewed.left, 'level')} that you were asked for still to give."
    drawn = f"Drawn by lot in run {reviewed.run} and decided: {count_of(reviewed.drawn, 'case')}"
    if reviewed.drawn >= reviewed.wanted:
        yield f"{drawn}, enough for the mean that people would have given."
    elif reviewed.cases < reviewed.wanted:
        yield (
            f"{drawn}. The mean that people would have given takes {reviewed.wanted}, and the run has "
            f"{reviewed.cases}."
        )
    else:
        yield (
            f"{drawn}; the mean that people would have given takes {reviewed.wanted}, "
            f"{reviewed.wanted - reviewed.drawn} more."
        )


def _commands(reviewed: Reviewed) -> Iterator[tuple[str, str]]:
    if reviewed.go_on:
        yield "go on", reviewed.go_on
    if reviewed.draw_more:
        yield f"{reviewed.wanted} drawn by lot", reviewed.draw_more
    if reviewed.calibrate:
        yield "hold the judge to them", reviewed.calibrate
    if reviewed.show:
        yield "see that mean", reviewed.show
