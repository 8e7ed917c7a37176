"""Write decisions into the labels file: each before the next question, without touching other labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import replace
from pathlib import Path

from evalkit.commands.review.records import JudgedAnswer
from evalkit.core.errors import InvalidInput
from evalkit.core.files import path_exists, write_atomically
from evalkit.core.labels import HumanLabel
from evalkit.core.rubric import Rubric
from evalkit.evalset.label_writer import format_labels_csv, format_labels_yaml
from evalkit.evalset.labels import load_labels


class LabelsFile:
    """A labels file that other people may edit during the review."""

    def __init__(self, path: Path, rubrics: Sequence[Rubric]) -> None:
        self.path = path
        self._rubrics = tuple(rubrics)
        self._labels: tuple[HumanLabel, ...] = ()
        self._loaded_stamp: tuple[int, int] | None = None
        self._own: tuple[HumanLabel, ...] = ()

    def read(self) -> tuple[HumanLabel, ...]:
        """Return the labels in the file, or none if there is no file.

        Raises:
            InvalidInput: all problems of the file.
        """
        if not path_exists(self.path):
            self._labels, self._loaded_stamp = (), None
        # Reading a long file after every key would be slow; it is read again only when it has changed.
        elif self._loaded_stamp != (stamp := self._file_stamp()):
            labels, problems = load_labels(self.path, self._rubrics)
            if problems:
                raise InvalidInput(problems)
            self._labels, self._loaded_stamp = labels, stamp
        return self._labels

    def replace_own(self, own: Sequence[HumanLabel]) -> None:
        """Replace the labels that this review has written by `own`, and leave all others.

        Raises:
            InvalidInput: another person's edit made the file invalid.
            StoreError: the file cannot be written; it is unchanged.
        """
        present = self.read()
        labels = merge_labels(present, self._own, own)
        self._own = tuple(own)
        if set(labels) == set(present):
            return
        if not labels:  # the last one was undone, and a file without labels is invalid
            self.path.unlink()
            return
        write = format_labels_csv if self.path.suffix.lower() == ".csv" else format_labels_yaml
        write_atomically(self.path, write(labels))
        self._labels, self._loaded_stamp = labels, self._file_stamp()

    def _file_stamp(self) -> tuple[int, int]:
        # evalkit and most editors replace the file, which changes its inode; others change its time.
        status = self.path.stat()
        return status.st_ino, status.st_mtime_ns


def merge_labels(
    present: Iterable[HumanLabel], before: Iterable[HumanLabel], own: Sequence[HumanLabel]
) -> tuple[HumanLabel, ...]:
    """Return the labels of a file with `own` in place of `before`, and of any label with an equal key."""
    ours = {_key(label) for label in (*before, *own)}
    return (*(label for label in present if _key(label) not in ours), *own)


def mark_drawn(
    picked: Iterable[JudgedAnswer], labels: Iterable[HumanLabel], run: str
) -> tuple[HumanLabel, ...]:
    """Return the labels, with the run added to those of answers that were drawn in it, by any rater."""
    drawn = {(each.rubric.name, each.item_digest) for each in picked if each.is_drawn}
    return tuple(
        replace(label, drawn=(*label.drawn, run))
        if (label.rubric, label.answer_id) in drawn and run not in label.drawn
        else label
        for label in labels
    )


def count_drawn(
    answers: Iterable[JudgedAnswer], labels: Iterable[HumanLabel], runs: Set[str]
) -> int:
    """Return how many cases have an answer drawn in one of the runs with a label for each criterion.

    The corrected mean counts cases, and it does not matter who labeled which criterion.
    """
    decided: dict[str, set[str]] = {}
    for label in labels:
        if runs & set(label.drawn):
            decided.setdefault(label.answer_id, set()).add(label.criterion)
    complete = {
        answer.case
        for answer in answers
        if {criterion.name for criterion in answer.rubric.judged_criteria}
        <= decided.get(answer.item_digest, set())
    }
    return len(complete)


def _key(label: HumanLabel) -> tuple[str, str, str]:
    return label.id, label.rater, label.case
