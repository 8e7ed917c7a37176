"""Read stored trials line by line: all of them in full, or one case in full and the others in outline."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from evalkit.core.errors import StoreError
from evalkit.core.files import open_stored_file, path_exists
from evalkit.core.serialization import parse_stored_record
from evalkit.core.trial import Output, Trial

TrialReader: TypeAlias = Callable[[bytes], Trial]
"""Turns a line of `trials.jsonl` into a trial; raises ValueError if the line is not one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputOutline:
    """What a report on one case shows of the outputs of the others."""

    flags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialOutline:
    """What a report on one case shows of the trials of the others."""

    case_id: str
    number: int
    output: OutputOutline

    def to_trial(self) -> Trial:
        """Return a trial without an answer and without scores."""
        output = Output(flags=self.output.flags)
        return Trial(case_id=self.case_id, number=self.number, output=output)


def read_full_trial(line: bytes) -> Trial:
    """Return the trial in a line.

    Raises:
        ValueError: the line is not a trial.
    """
    return parse_stored_record(line, Trial)


def read_only_case(case_id: str) -> TrialReader:
    """Return a reader that reads the trials of one case in full and those of the others in outline."""
    may_be_it = line_filter(case_id)

    def read_trial(line: bytes) -> Trial:
        if may_be_it(line):
            return read_full_trial(line)
        return parse_stored_record(line, TrialOutline).to_trial()

    return read_trial


def line_filter(case_id: str) -> Callable[[bytes], bool]:
    """Return a test whether a stored line may belong to a case; it never rejects one that does."""
    # evalkit stores ASCII, so that an id is written in one way only.
    needle = json.dumps(case_id).encode()
    return lambda line: needle in line


def read_trials(path: Path, read_trial: TrialReader) -> tuple[list[Trial], str, bool]:
    """Return the trials in a file, its digest, and whether its last line is incomplete.

    A file that is missing, or is deleted at this moment, has none.

    Raises:
        StoreError: a line is not a trial.
    """
    rows = []
    try:
        with open_stored_file(path) as stream:
            lines = HashedLines(stream)
            for number, line in lines:
                try:
                    rows.append(read_trial(line))
                except ValueError as error:
                    raise StoreError(
                        f"{path}:{number}: not a trial: {error}. "
                        f"Keep the rest with: evalkit repair {path.parent.name}"
                    ) from error
    except StoreError:
        if path_exists(path):
            raise
        return [], HashedLines(()).digest, False
    return rows, lines.digest, lines.incomplete


class HashedLines:
    """The complete lines of a stream with their numbers from 1, and the digest of everything read.

    `incomplete` is set if the last line has no end; that line is not yielded.
    """

    def __init__(self, stream: Iterable[bytes]) -> None:
        self._stream = stream
        self._sha256 = hashlib.sha256()
        self.incomplete = False

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield the complete lines, without their ends."""
        for number, line in enumerate(self._stream, start=1):
            self._sha256.update(line)
            if not line.endswith(b"\n"):
                # A writer may continue it at this moment, so the rest is not read.
                self.incomplete = True
                return
            yield number, line[:-1]

    @property
    def digest(self) -> str:
        """The SHA-256 of what was read, in hex."""
        return self._sha256.hexdigest()
