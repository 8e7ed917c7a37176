"""Answers on disk that wait for their scores: `answers.jsonl`, until the run that asked for them is finished.

A judge may take longer than the agent. What the agent was paid for is stored before the judge is asked.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from evalkit.core.errors import StoreError
from evalkit.core.files import (
    append_line,
    open_for_append,
    path_exists,
    read_stored_file,
    truncate_partial_line,
)
from evalkit.core.serialization import canonical_json, parse_stored_json, to_json_value
from evalkit.core.trial import Trial
from evalkit.store.span_file import without_spans

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
        if path_exists(self._path):
            self._descriptor = open_for_append(self._path)
            truncate_partial_line(self._descriptor, self._path)

    def append(self, trial: Trial) -> None:
        """Store what the agent answered."""
        if self._descriptor < 0:
            self._descriptor = open_for_append(self._path)
        line = (canonical_json(to_json_value(without_spans(trial))) + "\n").encode()
        append_line(self._descriptor, self._path, line)

    def remove(self) -> None:
        """Delete the file, as every answer is stored with its scores; one that stays does no harm."""
        with contextlib.suppress(OSError):
            self._path.unlink()

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)


def load_answers(folder: Path) -> tuple[Trial, ...]:
    """The answers of an unfinished run, scored meanwhile or not; a torn last line is left out.

    Raises:
        StoreError: there is a line that is no answer.
    """
    path = folder / ANSWERS_FILE
    if not path_exists(path):
        return ()
    found = []
    for number, line in enumerate(read_stored_file(path).split(b"\n")[:-1], start=1):
        try:
            found.append(msgspec.convert(parse_stored_json(line), Trial, strict=True))
        except ValueError as error:
            raise StoreError(
                f"{path}:{number}: not an answer: {error}. Delete the line: its agent is asked again."
            ) from error
    return tuple(found)
