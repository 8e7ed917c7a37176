"""Read the spans of a stored run, and attach them to its trials."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from evalkit.core.errors import StoreError
from evalkit.core.files import path_exists, read_stored_file
from evalkit.core.run import Run
from evalkit.core.serialization import parse_stored_json
from evalkit.core.trial import Trial
from evalkit.store.runs import HEADER_FILE, SPANS_FILE, SUMMARY_FILE, describe_changed_files
from evalkit.store.span_file import SpansByTrial, load_spans


def read_run_spans(run: Run, only_case: str | None = None) -> SpansByTrial:
    """Return the spans of a stored run by case id and trial number; a baseline has none.

    With `only_case`, those of other cases may be left out.

    Raises:
        StoreError: they cannot be read, or were changed.
    """
    folder = Path(run.path)
    if not run.path or not path_exists(folder / HEADER_FILE):
        return {}
    if not run.finished:
        # Digests are stored when a run finishes; until then there are none to check.
        return load_spans(folder, only_case=only_case)
    try:
        summary = parse_stored_json(read_stored_file(folder / SUMMARY_FILE))
        written = summary["sha256"].get(SPANS_FILE)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StoreError(describe_changed_files(folder, [SUMMARY_FILE])) from None
    if written is None and path_exists(folder / SPANS_FILE):
        raise StoreError(describe_changed_files(folder, [SPANS_FILE]))
    return load_spans(folder, written, only_case)


def with_spans(run: Run) -> Run:
    """Return the run with its stored spans in the outputs of its trials, to be scored again.

    Raises:
        StoreError: they cannot be read, or were changed.
    """
    return attach_spans(run, read_run_spans(run))


def attach_spans(run: Run, spans: SpansByTrial) -> Run:
    """Return the run with these spans in the outputs of its trials."""
    if not spans:
        return run

    def attach(trials: Iterable[Trial]) -> tuple[Trial, ...]:
        return tuple(
            replace(
                trial,
                output=replace(trial.output, spans=spans.get((trial.case_id, trial.number), ())),
            )
            for trial in trials
        )

    return replace(run, trials=attach(run.trials), fresh=attach(run.fresh))
