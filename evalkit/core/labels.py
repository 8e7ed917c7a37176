"""Labels: the levels that people gave to answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from evalkit.core.serialization import digest

MIN_LABELS = 30
"""With fewer labels, the normal approximation does not apply to values that are 0 or 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HumanLabel:
    """The level that one person gave to one answer on one criterion of a rubric.

    `input`, `reference`, and `context` are the texts that the person saw with the answer; a judge is
    shown the same. `case` is the case that the answer belongs to, if any. `rater` distinguishes people;
    empty when there is only one. `drawn` lists the runs in which the answer was drawn at random.
    Estimates about a run must use only those labels, because the others are not a random sample.
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
        """The digest of the answer and what it answers; several labels may share it."""
        # Without rubric and rater, so that all labels of one answer share the id.
        return digest([self.answer, self.input, self.reference, self.context])

    @property
    def id(self) -> str:
        """The digest of what was labeled, regardless of the rater and the level."""
        return digest([self.rubric, self.criterion, self.answer_id])

    @property
    def sort_key(self) -> tuple[str, ...]:
        """The sort key of the label in a file."""
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
    """Return the path of the labels file of a set."""
    return evalset.parent / "labels" / f"{name}.yaml"


def filter_labels(labels: Iterable[HumanLabel], rubric: str) -> tuple[HumanLabel, ...]:
    """Return the labels of one rubric."""
    return tuple(label for label in labels if label.rubric == rubric)


def find_majority(levels: Iterable[str]) -> str | None:
    """Return the most frequent level; None if there is a tie or no level."""
    ranked = Counter(levels).most_common(2)
    if not ranked or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]
