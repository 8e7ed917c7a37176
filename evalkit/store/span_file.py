"""The spans of a run on disk: `spans.jsonl`, one line per trial that has any, beside its trials.

Apart from `trials.jsonl`, so that a gate need not read what a run's steps were.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from evalkit.core.spans import Span
from evalkit.core.trial import Trial

SPANS_FILE = "spans.jsonl"
COLUMNS_FILE = "spans.parquet"

SpansByTrial = Mapping[tuple[str, int], tuple[Span, ...]]


class SpanWriter:
    """Appends the spans of trials whose agent has answered; there is no file until a trial has some.

    Of several lines for one trial the last counts. Whoever writes holds the run's lock.

    Raises (every method):
        StoreError: the disk is full, or the file cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / SPANS_FILE
        self._descriptor = -1
        self._sha256 = hashlib.sha256()
        self._known: set[tuple[str, int]] = set()
        if path_exists(self._path):
            self._reopen()

    def _reopen(self) -> None:
        self._descriptor = open_for_append(self._path)
        whole = truncate_partial_line(self._descriptor, self._path)
        self._sha256.update(whole)
        self._known = set(_read_lines(whole))

    def append(self, trial: Trial) -> None:
        """Store the spans of a trial, before the trial itself is stored."""
        key = (trial.case_id, trial.number)
        if not trial.output.spans and key not in self._known:
            return
        if self._descriptor < 0:
            self._descriptor = open_for_append(self._path)
        row = {
            "case_id": trial.case_id,
            "number": trial.number,
            "spans": to_json_value(trial.output.spans),
        }
        line = (canonical_json(row) + "\n").encode()
        append_line(self._descriptor, self._path, line)
        self._known.add(key)
        self._sha256.update(line)

    @property
    def digest(self) -> str | None:
        """The SHA-256 of all that was written; None where nothing was."""
        return self._sha256.hexdigest() if self._descriptor >= 0 else None

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)


def without_spans(trial: Trial) -> Trial:
    """The trial as it is kept where its spans are not."""
    if not trial.output.spans:
        return trial
    return replace(trial, output=replace(trial.output, spans=()))


def load_spans(folder: Path, sha256: str | None = None) -> SpansByTrial:
    """The spans of a stored run by case id and number of trial; none where none are stored.

    A torn last line is left out.

    Raises:
        StoreError: they cannot be read, or do not have the digest that is asked for.
    """
    path = folder / SPANS_FILE
    if not path_exists(path) and sha256 is None:
        return {}
    content = read_stored_file(path)
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise StoreError(
            f"{path}: changed by something else than the run that wrote it. "
            f"Keep the agent away from .evalkit and run again."
        )
    try:
        rows = _read_lines(content)
        return {
            key: msgspec.convert(row, tuple[Span, ...], strict=True) for key, row in rows.items()
        }
    except ValueError as error:
        raise StoreError(f"{path}: not the spans of a run: {error}. Delete it.") from error


def _read_lines(content: bytes) -> dict[tuple[str, int], Any]:
    rows = {}
    for line in content.split(b"\n")[:-1]:
        row = parse_stored_json(line)
        try:
            rows[row["case_id"], row["number"]] = row["spans"]
        except (KeyError, TypeError) as error:
            raise ValueError(f"a line without {error}") from error
    return rows
