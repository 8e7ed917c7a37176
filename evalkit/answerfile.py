"""Answers on disk that wait for their scores: `answers.jsonl`, until the run that asked for them is finished.

A judge may take longer than the agent. What the agent was paid for is stored before the judge is asked.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from evalkit.digest import canonical
from evalkit.files import append_line, cut_torn_line, exists, open_to_append, read_stored
from evalkit.packing import pack, unpack
from evalkit.records import Trial
from evalkit.spanfile import without_spans

ANSWERS_FILE = "answers.jsonl"


class AnswerWriter:
    """Appends answers as trials without scores; there is no file until there is one.

    Whoever writes holds the run's lock.

    Raises (every method):
        StoreError: the disk is full, or the file cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / ANSWERS_FILE
        self._descriptor = -1
        if exists(self._path):
            self._descriptor = open_to_append(self._path)
            cut_torn_line(self._descriptor, read_stored(self._path))

    def append(self, trial: Trial) -> None:
        """Store what the agent answered."""
        if self._descriptor < 0:
            self._descriptor = open_to_append(self._path)
        line = (canonical(pack(without_spans(trial))) + "\n").encode()
        append_line(self._descriptor, self._path, line)

    def remove(self) -> None:
        """Delete the file: every answer is stored with its scores."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)


def load_answers(folder: Path) -> tuple[Trial, ...]:
    """The answers of an unfinished run, scored meanwhile or not; one that cannot be read is left out.

    Raises:
        StoreError: the file is there and cannot be read.
    """
    path = folder / ANSWERS_FILE
    if not exists(path):
        return ()
    found = []
    for line in read_stored(path).splitlines():
        try:
            found.append(msgspec.convert(unpack(line), Trial, strict=True))
        except ValueError:
            continue  # it was torn by a kill, and is asked for again
    return tuple(found)
