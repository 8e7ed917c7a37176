"""Decisions into the labels file: each is there before the next one is asked for, and no other label is touched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import replace
from pathlib import Path

from evalkit.commands.review.answers import JudgedAnswer
from evalkit.commands.review.sampling import SampledAnswer
from evalkit.core.errors import InvalidInput
from evalkit.core.files import path_exists, write_atomically
from evalkit.core.labels import HumanLabel
from evalkit.core.rubric import Rubric
from evalkit.evalset.label_writer import format_labels_csv, format_labels_yaml
from evalkit.evalset.labels import load_labels


class LabelsFile:
    """One labels file, and what this review has written into it."""

    def __init__(self, path: Path, rubrics: Sequence[Rubric]) -> None:
        self.path = path
        self._rubrics = tuple(rubrics)
        self._labels: tuple[HumanLabel, ...] = ()
        self._loaded_stamp: tuple[int, int] | None = None
        self._own: tuple[HumanLabel, ...] = ()

    def read(self) -> tuple[HumanLabel, ...]:
        """The labels in it, none when there is no file; it is read again only when it has changed.

        Raises:
            InvalidInput: everything that is wrong with it.
        """
        if not path_exists(self.path):
            self._labels, self._loaded_stamp = (), None
        elif self._loaded_stamp != (stamp := self._file_stamp()):
            labels, problems = load_labels(self.path, self._rubrics)
            if problems:
                raise InvalidInput(problems)
            self._labels, self._loaded_stamp = labels, stamp
        return self._labels

    def replace_own(self, own: Sequence[HumanLabel]) -> None:
        """Have it hold these decisions of ours, in place of those entered before, beside all others.

        Raises:
            InvalidInput: somebody broke it meanwhile.
            StoreError: it could not be written; it is as it was.
        """
        there = self.read()
        labels = merge_labels(there, self._own, own)
        self._own = tuple(own)
        if set(labels) == set(there):
            return
        if not labels:  # the last one was taken back, and a file without labels is no labels file
            self.path.unlink()
            return
        write = format_labels_csv if self.path.suffix.lower() == ".csv" else format_labels_yaml
        write_atomically(self.path, write(labels))
        self._labels, self._loaded_stamp = labels, self._file_stamp()

    def _file_stamp(self) -> tuple[int, int]:
        # Every change of ours replaces the file, as editors do or else they change its time.
        status = self.path.stat()
        return status.st_ino, status.st_mtime_ns


def merge_labels(
    there: Iterable[HumanLabel], before: Iterable[HumanLabel], own: Sequence[HumanLabel]
) -> tuple[HumanLabel, ...]:
    """The labels of a file with ours of `before` taken out and `own` put in; ours win over equal ones."""
    ours = {_key(label) for label in (*before, *own)}
    return (*(label for label in there if _key(label) not in ours), *own)


def mark_drawn(
    picked: Iterable[SampledAnswer], labels: Iterable[HumanLabel], run: str
) -> tuple[HumanLabel, ...]:
    """The labels, those of answers that the lot fell on in a run marked so, whoever gave them and when."""
    drawn = {(each.answer.rubric.name, each.answer.item_digest) for each in picked if each.is_drawn}
    return tuple(
        replace(label, drawn=(*label.drawn, run))
        if (label.rubric, label.answer_id) in drawn and run not in label.drawn
        else label
        for label in labels
    )


def count_drawn(
    answers: Iterable[JudgedAnswer], labels: Iterable[HumanLabel], runs: Set[str]
) -> int:
    """The cases with an answer that the lot fell on in one of the runs and that is decided whole.

    Cases are what a corrected mean counts; who decided which criterion does not matter to it.
    """
    decided: dict[str, set[str]] = {}
    for label in labels:
        if runs & set(label.drawn):
            decided.setdefault(label.answer_id, set()).add(label.criterion)
    return len(
        {
            answer.case
            for answer in answers
            if {criterion.name for criterion in answer.rubric.judged_criteria}
            <= decided.get(answer.item_digest, set())
        }
    )


def _key(label: HumanLabel) -> tuple[str, str, str]:
    return label.id, label.rater, label.case
