"""Render the result of a review as terminal text: the labels, and the commands that use them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evalkit.core.format import format_count
from evalkit.report.screen import Screen, join_sections


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewSummary:
    """The labels after a review.

    `new_labels` were given in this session. `file` has `labels` of this rubric by `raters` people.
    `open_decisions` were selected and are undecided. Of the `scored_cases` of the run,
    `sampled_cases` were drawn at random and are decided; a human mean takes `needed_cases`. The
    commands are empty if there is nothing to do.
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
    """Render sentences, then commands."""
    commands = [
        line for label, command in _commands(reviewed) for line in (f"  {label}:", f"    {command}")
    ]
    return join_sections([screen.fold_all(_sentences(reviewed)), commands])


def worksheet_text(path: Path, rows: int, command: str, screen: Screen) -> str:
    """Render how to fill in a worksheet."""
    if not rows:
        return join_sections([screen.fold(f"{path}: everything is decided, so it has no rows.")])
    text = (
        f"{path}: {format_count(rows, 'level')} to fill in. Put one of the words in the column "
        "`levels` into the column `level`; `note` may say why. Empty rows are skipped. Then:"
    )
    return join_sections([screen.fold(text), [f"  {command}"]])


def _sentences(reviewed: ReviewSummary) -> Iterator[str]:
    if reviewed.labels:
        by = f" by {format_count(reviewed.raters, 'rater')}" if reviewed.raters > 1 else ""
        new = f"{format_count(reviewed.new_labels, 'new level')} by {reviewed.rater}"
        total = format_count(reviewed.labels, "label")
        yield f"{new}; {reviewed.file} has {total} of {reviewed.rubric}{by}."
    else:
        yield f"Nothing was decided, and {reviewed.file} has no label of {reviewed.rubric}."
    if reviewed.open_decisions:
        levels = format_count(reviewed.open_decisions, "level")
        yield f"{levels} that you were asked for are still missing."
    sampled = format_count(reviewed.sampled_cases, "case")
    drawn = f"Drawn at random in run {reviewed.run} and decided: {sampled}"
    if reviewed.sampled_cases >= reviewed.needed_cases:
        yield f"{drawn}, enough for an estimate of the human mean."
    elif reviewed.scored_cases < reviewed.needed_cases:
        yield (
            f"{drawn}. An estimate of the human mean needs {reviewed.needed_cases}, and the run has "
            f"{reviewed.scored_cases}."
        )
    else:
        missing = reviewed.needed_cases - reviewed.sampled_cases
        yield (
            f"{drawn}; an estimate of the human mean needs {reviewed.needed_cases}, {missing} more."
        )


def _commands(reviewed: ReviewSummary) -> Iterator[tuple[str, str]]:
    if reviewed.resume_command:
        yield "continue", reviewed.resume_command
    if reviewed.sample_command:
        yield f"{reviewed.needed_cases} drawn at random", reviewed.sample_command
    if reviewed.calibrate_command:
        yield "calibrate the judge with them", reviewed.calibrate_command
    if reviewed.show_command:
        yield "show the human mean", reviewed.show_command
