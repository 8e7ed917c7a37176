"""Read `spans.jsonl`: the spans of a run, with one line per trial that has any.

Spans are not in `trials.jsonl`, so that a gate need not read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from evalkit.core.errors import StoreError
from evalkit.core.files import path_exists, read_stored_file
from evalkit.core.serialization import parse_stored_json
from evalkit.core.spans import Span
from evalkit.core.trial import Trial
from evalkit.store.runs import compute_sha256, describe_changed_files

SPANS_FILE = "spans.jsonl"
COLUMNS_FILE = "spans.parquet"

SpansByTrial = Mapping[tuple[str, int], tuple[Span, ...]]
"""Spans by case id and trial number."""


def without_spans(trial: Trial) -> Trial:
    """Return the trial as `trials.jsonl` stores it."""
    if not trial.output.spans:
        return trial
    return replace(trial, output=replace(trial.output, spans=()))


def load_spans(folder: Path, sha256: str | None = None) -> SpansByTrial:
    """Return the spans of a stored run, without an incomplete last line; empty if none are stored.

    Raises:
        StoreError: they cannot be read, or do not have the digest `sha256`.
    """
    path = folder / SPANS_FILE
    if not path_exists(path) and sha256 is None:
        return {}
    content = read_stored_file(path)
    if sha256 is not None and compute_sha256(content) != sha256:
        raise StoreError(describe_changed_files(folder, [SPANS_FILE]))
    try:
        rows = parse_span_lines(content)
        return {
            key: msgspec.convert(row, tuple[Span, ...], strict=True) for key, row in rows.items()
        }
    except ValueError as error:
        raise StoreError(f"{path}: not the spans of a run: {error}. Delete it.") from error


def parse_span_lines(content: bytes) -> dict[tuple[str, int], Any]:
    """Return the rows of complete lines by case id and trial number; the last row of a trial counts.

    Raises:
        ValueError: a line is not a row of spans.
    """
    rows = {}
    for line in content.split(b"\n")[:-1]:
        row = parse_stored_json(line)
        try:
            rows[row["case_id"], row["number"]] = row["spans"]
        except (KeyError, TypeError) as error:
            raise ValueError(f"a line without {error}") from error
    return rows
