"""What is to be decided as a CSV file for a spreadsheet, and what was filled in there as labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from evalkit.labels import HumanLabel
from evalkit.loading.label_files import write_worksheet as write_rows
from evalkit.loading.labels import load_placed_labels
from evalkit.loading.nodes import quote
from evalkit.records import Problem
from evalkit.reviewing.answers import Answer
from evalkit.reviewing.sitting import Item, label_of


def write_worksheet(items: Iterable[Item], rater: str, run: str) -> str:
    """One row for each decision that is wanted, its level to be filled in."""
    rows, criteria = [], {}
    for item in items:
        drawn = (run,) if item.picked.is_drawn else ()
        for criterion in item.criteria:
            rows.append(replace(label_of(item.answer, criterion.name, "", rater), drawn=drawn))
            criteria[criterion.name] = criterion
    return write_rows(rows, criteria)


def read_worksheet(
    path: Path, answers: Sequence[Answer], rater: str
) -> tuple[tuple[HumanLabel, ...], list[Problem]]:
    """The labels in a worksheet, of the answers of a run as the run holds them, and every problem.

    Spreadsheets change line ends and blanks; other than by those, an answer is known by its text.
    """
    rubrics = {answer.rubric.digest: answer.rubric for answer in answers}
    placed, problems = load_placed_labels(path, tuple(rubrics.values()), is_worksheet=True)
    known = {(answer.case, *_words(answer)): answer for answer in answers}
    labels = []
    for label, where in placed:
        answer = known.get((label.case, _fold(label.answer), _fold(label.input)))
        if answer is None:
            message = (
                f"the run has no such answer to case {quote(label.case)}: it is another run's, or the "
                "spreadsheet has changed it. Write the worksheet again with --csv-out."
            )
            problems.append(Problem(message=message, where=where))
            continue
        same = label_of(answer, label.criterion, label.level, label.rater or rater)
        labels.append(replace(same, note=label.note, drawn=label.drawn))
    return tuple(labels), problems


def _words(answer: Answer) -> tuple[str, str]:
    return _fold(answer.question.answer), _fold(answer.question.input)


def _fold(text: str) -> str:
    return " ".join(text.split())
