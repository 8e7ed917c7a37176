"""Read `spans.jsonl`: the spans of a run, with one line per trial that has any.

Spans are not in `trials.jsonl`, so that a gate need not read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.core.errors import StoreError
from evalkit.core.files import hash_stored_file, open_stored_file, path_exists
from evalkit.core.serialization import parse_stored_record
from evalkit.core.spans import Span
from evalkit.core.trial import Trial
from evalkit.store.runs import SPANS_FILE, describe_changed_files
from evalkit.store.trial_lines import HashedLines, line_filter

COLUMNS_FILE = "spans.parquet"

SpansByTrial = Mapping[tuple[str, int], tuple[Span, ...]]
"""Spans by case id and trial number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanLine:
    """A line of the file: the spans of one trial. If a trial has several lines, the last one counts."""

    case_id: str
    number: int
    spans: tuple[Span, ...]


def without_spans(trial: Trial) -> Trial:
    """Return the trial as `trials.jsonl` stores it."""
    if not trial.output.spans:
        return trial
    return replace(trial, output=replace(trial.output, spans=()))


def load_spans(
    folder: Path, sha256: str | None = None, only_case: str | None = None
) -> SpansByTrial:
    """Return the spans of a stored run, without an incomplete last line; empty if none are stored.

    With `only_case`, those of this case are among them, and few others. If a trial has several lines, the
    last one counts.

    Raises:
        StoreError: they cannot be read, or do not have the digest `sha256`.
    """
    path = folder / SPANS_FILE
    if not path_exists(path) and sha256 is None:
        return {}
    is_wanted = line_filter(only_case) if only_case is not None else None
    found = {}
    try:
        with open_stored_file(path) as stream:
            lines = HashedLines(stream)
            for _, line in lines:
                if is_wanted is None or is_wanted(line):
                    row = parse_stored_record(line, SpanLine)
                    found[row.case_id, row.number] = row.spans
    except ValueError as error:
        if sha256 is None or hash_stored_file(path) == sha256:
            raise StoreError(f"{path}: not the spans of a run: {error}. Delete it.") from error
        raise StoreError(describe_changed_files(folder, [SPANS_FILE])) from None
    if sha256 is not None and lines.digest != sha256:
        raise StoreError(describe_changed_files(folder, [SPANS_FILE]))
    return found
