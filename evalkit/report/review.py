"""What a review came to, as text: the labels there are, and what they are good for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evalkit.core.format import format_count
from evalkit.report.screen import Screen, join_sections


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewSummary:
    """What there is after a review.

    `given` levels are new, `labels` are in the file of this rubric, by `raters`; `left` were picked and
    are undecided. `drawn` of the run's scored `cases` were drawn by lot and are decided, of `wanted`. `go_on`,
    `draw_more`, `calibrate` and `show` are the commands that lead on, empty where there is nothing to do.
    """

    run: str
    rubric: str
    rater: str
    file: str
    new_labels: int
    labels: int
    raters: int
    open_decisions: int
    sampled_cases: int
    needed_cases: int
    scored_cases: int
    resume_command: str = ""
    sample_command: str = ""
    calibrate_command: str = ""
    show_command: str = ""


def review_text(reviewed: ReviewSummary, screen: Screen) -> str:
    """Render it for a terminal: sentences, then commands."""
    sentences = [line for each in _sentences(reviewed) for line in screen.fold(each)]
    commands = [
        line for label, command in _commands(reviewed) for line in (f"  {label}:", f"    {command}")
    ]
    return join_sections([sentences, commands])


def worksheet_text(path: Path, rows: int, command: str, screen: Screen) -> str:
    """What to do with a worksheet."""
    if not rows:
        return join_sections([screen.fold(f"{path}: nothing is left to decide; it has no rows.")])
    text = (
        f"{path}: {format_count(rows, 'level')} to fill in, in the column `level`, with one of the words in "
        "the column `levels`; `note` may say why. Rows left empty are passed by. Then:"
    )
    return join_sections([screen.fold(text), [f"  {command}"]])


def _sentences(reviewed: ReviewSummary) -> Iterator[str]:
    by = f" by {format_count(reviewed.raters, 'rater')}" if reviewed.raters > 1 else ""
    new = f"{format_count(reviewed.new_labels, 'new level')} by {reviewed.rater}"
    yield (
        f"{new}; {reviewed.file} holds {format_count(reviewed.labels, 'label')} of "
        f"{reviewed.rubric}{by}."
        if reviewed.labels
        else f"Nothing was decided, and {reviewed.file} holds no label of {reviewed.rubric}."
    )
    if reviewed.open_decisions:
        yield f"{format_count(reviewed.open_decisions, 'level')} that you were asked for still to give."
    drawn = f"Drawn by lot in run {reviewed.run} and decided: {format_count(reviewed.sampled_cases, 'case')}"
    if reviewed.sampled_cases >= reviewed.needed_cases:
        yield f"{drawn}, enough for the mean that people would have given."
    elif reviewed.scored_cases < reviewed.needed_cases:
        yield (
            f"{drawn}. The mean that people would have given takes {reviewed.needed_cases}, and the run has "
            f"{reviewed.scored_cases}."
        )
    else:
        yield (
            f"{drawn}; the mean that people would have given takes {reviewed.needed_cases}, "
            f"{reviewed.needed_cases - reviewed.sampled_cases} more."
        )


def _commands(reviewed: ReviewSummary) -> Iterator[tuple[str, str]]:
    if reviewed.resume_command:
        yield "go on", reviewed.resume_command
    if reviewed.sample_command:
        yield f"{reviewed.needed_cases} drawn by lot", reviewed.sample_command
    if reviewed.calibrate_command:
        yield "hold the judge to them", reviewed.calibrate_command
    if reviewed.show_command:
        yield "see that mean", reviewed.show_command
