"""Decisions into the labels file: each is there before the next one is asked for, and no other label is touched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import replace
from pathlib import Path

from evalkit.errors import InvalidInput
from evalkit.files import exists, write_whole
from evalkit.labels import HumanLabel
from evalkit.loading.label_files import write_csv, write_yaml
from evalkit.loading.labels import load_labels
from evalkit.reviewing.answers import Answer
from evalkit.reviewing.sampling import Picked
from evalkit.rubric import Rubric


class LabelsFile:
    """One labels file, and what this review has written into it."""

    def __init__(self, path: Path, rubrics: Sequence[Rubric]) -> None:
        self.path = path
        self._rubrics = tuple(rubrics)
        self._labels: tuple[HumanLabel, ...] = ()
        self._seen: tuple[int, int] | None = None
        self._own: tuple[HumanLabel, ...] = ()

    def read(self) -> tuple[HumanLabel, ...]:
        """The labels in it, none when there is no file; it is read again only when it has changed.

        Raises:
            InvalidInput: everything that is wrong with it.
        """
        if not exists(self.path):
            self._labels, self._seen = (), None
        elif self._seen != (stamp := self._stamp()):
            labels, problems = load_labels(self.path, self._rubrics)
            if problems:
                raise InvalidInput(problems)
            self._labels, self._seen = labels, stamp
        return self._labels

    def enter(self, own: Sequence[HumanLabel]) -> None:
        """Have it hold these decisions of ours, in place of those entered before, beside all others.

        Raises:
            InvalidInput: somebody broke it meanwhile.
            StoreError: it could not be written; it is as it was.
        """
        there = self.read()
        labels = merge(there, self._own, own)
        self._own = tuple(own)
        if set(labels) == set(there):
            return
        if not labels:  # the last one was taken back, and a file without labels is no labels file
            self.path.unlink()
            return
        write = write_csv if self.path.suffix.lower() == ".csv" else write_yaml
        write_whole(self.path, write(labels))
        self._labels, self._seen = labels, self._stamp()

    def _stamp(self) -> tuple[int, int]:
        # Every change of ours replaces the file, as editors do or else they change its time.
        status = self.path.stat()
        return status.st_ino, status.st_mtime_ns


def merge(
    there: Iterable[HumanLabel], before: Iterable[HumanLabel], own: Sequence[HumanLabel]
) -> tuple[HumanLabel, ...]:
    """The labels of a file with ours of `before` taken out and `own` put in; ours win over equal ones."""
    ours = {_key(label) for label in (*before, *own)}
    return (*(label for label in there if _key(label) not in ours), *own)


def mark_drawn(
    picked: Iterable[Picked], labels: Iterable[HumanLabel], run: str
) -> tuple[HumanLabel, ...]:
    """The labels, those of answers that the lot fell on in a run marked so, whoever gave them and when."""
    drawn = {(each.answer.rubric.name, each.answer.item) for each in picked if each.is_drawn}
    return tuple(
        replace(label, drawn=(*label.drawn, run))
        if (label.rubric, label.item) in drawn and run not in label.drawn
        else label
        for label in labels
    )


def count_drawn(answers: Iterable[Answer], labels: Iterable[HumanLabel], runs: Set[str]) -> int:
    """The cases with an answer that the lot fell on in one of the runs and that is decided whole.

    Cases are what a corrected mean counts; who decided which criterion does not matter to it.
    """
    decided: dict[str, set[str]] = {}
    for label in labels:
        if runs & set(label.drawn):
            decided.setdefault(label.item, set()).add(label.criterion)
    return len(
        {
            answer.case
            for answer in answers
            if {criterion.name for criterion in answer.rubric.judged}
            <= decided.get(answer.item, set())
        }
    )


def _key(label: HumanLabel) -> tuple[str, str, str]:
    return label.id, label.rater, label.case
