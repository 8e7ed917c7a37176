"""Write the open decisions as a CSV file for a spreadsheet, and read the file back as labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from evalkit.commands.review.records import JudgedAnswer, ReviewItem, make_label
from evalkit.core.labels import HumanLabel
from evalkit.core.location import Problem
from evalkit.evalset.label_writer import format_worksheet
from evalkit.evalset.labels import load_labels_with_locations
from evalkit.evalset.nodes import quote_short


def render_worksheet(items: Iterable[ReviewItem], rater: str, run: str) -> str:
    """Return CSV with one row for each open decision, its level left empty."""
    rows, criteria = [], {}
    for item in items:
        drawn = (run,) if item.answer.is_drawn else ()
        for criterion in item.criteria:
            rows.append(replace(make_label(item.answer, criterion.name, "", rater), drawn=drawn))
            criteria[criterion.name] = criterion
    return format_worksheet(rows, criteria)


def read_worksheet(
    path: Path, answers: Sequence[JudgedAnswer], rater: str
) -> tuple[tuple[HumanLabel, ...], list[Problem]]:
    """Return the labels in a worksheet, with the texts of the run, and every problem."""
    rubrics = {answer.rubric.digest: answer.rubric for answer in answers}
    located, problems = load_labels_with_locations(path, tuple(rubrics.values()), is_worksheet=True)
    known = {
        _label_key(each.case, each.question.answer, each.question.input): each for each in answers
    }
    labels = []
    for label, where in located:
        answer = known.get(_label_key(label.case, label.answer, label.input))
        if answer is None:
            message = (
                f"the run has no such answer to case {quote_short(label.case)}: the worksheet belongs "
                "to another run, or the spreadsheet changed the text. Write the worksheet again with "
                "--csv-out."
            )
            problems.append(Problem(message=message, where=where))
            continue
        # The texts of the run, not those of the spreadsheet: a label's id is a digest of them.
        label_of_run = make_label(answer, label.criterion, label.level, label.rater or rater)
        labels.append(replace(label_of_run, note=label.note, drawn=label.drawn))
    return tuple(labels), problems


def _label_key(case: str, answer: str, question: str) -> tuple[str, ...]:
    # Spreadsheets change line ends and blanks.
    return case, " ".join(answer.split()), " ".join(question.split())
