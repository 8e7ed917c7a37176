"""What people said of answers, as records: one level, of one criterion, by one person, of one answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from evalkit.core.serialization import digest


@dataclass(frozen=True, kw_only=True, slots=True)
class HumanLabel:
    """One level that a person gave an answer on one criterion of a rubric.

    `input`, `reference` and `context` are what the person saw beside the answer, and what a judge is
    shown. `case` names the case of an eval set that the answer was given to, if it was. `rater` tells
    people apart; empty when there is one. `drawn` are the runs in which the answer was drawn by lot: what
    is estimated of a run must rest on those labels alone, as others were chosen for a reason.
    """

    criterion: str
    level: str
    answer: str
    rubric: str = ""
    input: str = ""
    reference: str = ""
    context: str = ""
    rater: str = ""
    case: str = ""
    note: str = ""
    drawn: tuple[str, ...] = ()

    @property
    def answer_id(self) -> str:
        """Tells the labelled answer, with what it answers, from others; several labels may share it."""
        return digest([self.answer, self.input, self.reference, self.context])

    @property
    def id(self) -> str:
        """Tells what was decided from other decisions, whoever decided it and how."""
        return digest([self.rubric, self.criterion, self.answer_id])

    @property
    def sort_key(self) -> tuple[str, ...]:
        """Where the label stands in a file, wherever it was added."""
        return (
            self.rubric,
            self.case,
            self.input,
            self.answer,
            self.reference,
            self.context,
            self.criterion,
            self.rater,
        )


def labels_path(evalset: Path, name: str) -> Path:
    """Where the labels of answers to a set are."""
    return evalset.parent / "labels" / f"{name}.yaml"


def filter_labels(labels: Iterable[HumanLabel], rubric: str) -> tuple[HumanLabel, ...]:
    """The labels of one rubric."""
    return tuple(label for label in labels if label.rubric == rubric)


def find_majority(levels: Iterable[str]) -> str | None:
    """The level given most often; None when two share the first place, or nobody gave one."""
    ranked = Counter(levels).most_common(2)
    if not ranked or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]
