"""Store what became of each set of a command, so that its runs are found together, and a missing one is named.

A command has a folder `.evalkit/runs/<id>/` with the file `batch.json` in place of a run. It is written
before the first set is checked, and after each set. What a killed command did not write is never green.
A command that ran one set keeps it only if that was refused, or if an older command's record is newest.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec

from evalkit.core.errors import StoreError, Undecidable
from evalkit.core.files import path_exists, read_stored_file, write_atomically
from evalkit.core.serialization import canonical_json, parse_stored_json, to_json_value
from evalkit.store.run_seal import SEAL_KEY, seal_row
from evalkit.store.runs import (
    BATCH_FILE,
    create_runs_folder,
    list_start_times,
    runs_folder,
)
from evalkit.store.seal import Seal

BATCH_SCHEMA = "evalkit.batch_record/v1"


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchEntry:
    """One set of a command: its path in its stored form, its run, and why it has no run.

    `run_id` is empty if no run began. `state` is that of a `BatchPart`, and `started` before the run ended.
    """

    label: str
    path: str
    run_id: str = ""
    state: Literal["not_run", "started", "decided", "nothing_selected", "stopped"] = "not_run"
    exit_code: int = Undecidable.exit_code
    problem: str = "the command ended before it ran."

    @property
    def has_run(self) -> bool:
        """Whether its result is that of a stored run."""
        return self.state in ("started", "decided") and bool(self.run_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchRecord:
    """The sets of one command, in its order."""

    id: str
    entries: tuple[BatchEntry, ...]
    schema: str = BATCH_SCHEMA


class BatchWriter:
    """Writes the record of one command in the store of one project."""

    def __init__(self, root: Path, record: BatchRecord, seal: Seal) -> None:
        """Store a new record.

        Raises:
            StoreError: it cannot be written.
        """
        self._root = root
        self._seal = seal
        self._folder = runs_folder(root) / record.id
        self.record = record
        try:
            create_runs_folder(root)
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self._folder}: could not save: {error.strerror}.") from error
        self._write()

    def update(self, number: int, entry: BatchEntry) -> None:
        """Store what became of the set with a number, from 0.

        Raises:
            StoreError: it cannot be written.
        """
        entries = list(self.record.entries)
        entries[number] = entry
        self.record = replace(self.record, entries=tuple(entries))
        self._write()

    def remove(self) -> None:
        """Delete the record of a command whose stored run says all that the record does."""
        with contextlib.suppress(OSError):
            (self._folder / BATCH_FILE).unlink()
            self._folder.rmdir()

    def append(self, entries: Iterable[BatchEntry]) -> None:
        """Store sets that have no run, after the others.

        Raises:
            StoreError: it cannot be written.
        """
        self.record = replace(self.record, entries=(*self.record.entries, *entries))
        self._write()

    def _write(self) -> None:
        row = seal_row(dict(to_json_value(self.record)), self.record.id, self._seal)
        path = self._folder / BATCH_FILE
        write_atomically(path, canonical_json(row) + "\n")
        # Commands are ordered by this time, as runs are, also with a clock that was set back.
        newest_ns = max((time_ns for time_ns, _ in list_start_times(self._root)), default=0)
        with contextlib.suppress(OSError):
            time_ns = max(path.stat().st_mtime_ns, newest_ns + 1)
            os.utime(path, ns=(time_ns, time_ns))


def read_batch(root: Path, batch_id: str, seal: Seal | None = None) -> BatchRecord:
    """Read the record of a command; with a key, only one that has its seal.

    Raises:
        StoreError: it is missing, cannot be read, or lacks the seal.
    """
    path = runs_folder(root) / batch_id / BATCH_FILE
    advice = "Name the runs, as listed by: evalkit runs"
    if not path_exists(path):
        raise StoreError(
            f"{path} is missing, so which sets the last command ran is unknown. {advice}"
        )
    try:
        row = parse_stored_json(read_stored_file(path))
        signature = row.pop(SEAL_KEY, None)
        if seal and not seal.is_valid(canonical_json([batch_id, row]), signature):
            raise StoreError(f"{path}: not sealed with the key in EVALKIT_STORE_KEY. {advice}")
        record = msgspec.convert(row, BatchRecord, strict=True)
    except (ValueError, AttributeError, TypeError) as error:
        raise StoreError(f"{path}: not what evalkit writes: {error}. {advice}") from error
    if record.schema != BATCH_SCHEMA or not record.entries:
        raise StoreError(f"{path}: this evalkit reads {BATCH_SCHEMA!r}. {advice}")
    return record
