"""What is to be decided as a CSV file for a spreadsheet, and what was filled in there as labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from evalkit.commands.review.answers import JudgedAnswer
from evalkit.commands.review.session import ReviewItem, make_label
from evalkit.core.labels import HumanLabel
from evalkit.core.location import Problem
from evalkit.evalset.label_writer import format_worksheet as write_rows
from evalkit.evalset.labels import load_labels_with_locations
from evalkit.evalset.nodes import quote_short


def render_worksheet(items: Iterable[ReviewItem], rater: str, run: str) -> str:
    """One row for each decision that is wanted, its level to be filled in."""
    rows, criteria = [], {}
    for item in items:
        drawn = (run,) if item.sampled.is_drawn else ()
        for criterion in item.criteria:
            rows.append(replace(make_label(item.answer, criterion.name, "", rater), drawn=drawn))
            criteria[criterion.name] = criterion
    return write_rows(rows, criteria)


def read_worksheet(
    path: Path, answers: Sequence[JudgedAnswer], rater: str
) -> tuple[tuple[HumanLabel, ...], list[Problem]]:
    """The labels in a worksheet, of the answers of a run as the run holds them, and every problem.

    Spreadsheets change line ends and blanks; other than by those, an answer is known by its text.
    """
    rubrics = {answer.rubric.digest: answer.rubric for answer in answers}
    placed, problems = load_labels_with_locations(path, tuple(rubrics.values()), is_worksheet=True)
    known = {(answer.case, *_text_key(answer)): answer for answer in answers}
    labels = []
    for label, where in placed:
        answer = known.get(
            (label.case, _collapse_spaces(label.answer), _collapse_spaces(label.input))
        )
        if answer is None:
            message = (
                f"the run has no such answer to case {quote_short(label.case)}: it is another run's, or the "
                "spreadsheet has changed it. Write the worksheet again with --csv-out."
            )
            problems.append(Problem(message=message, where=where))
            continue
        same = make_label(answer, label.criterion, label.level, label.rater or rater)
        labels.append(replace(same, note=label.note, drawn=label.drawn))
    return tuple(labels), problems


def _text_key(answer: JudgedAnswer) -> tuple[str, str]:
    return _collapse_spaces(answer.question.answer), _collapse_spaces(answer.question.input)


def _collapse_spaces(text: str) -> str:
    return " ".join(text.split())
