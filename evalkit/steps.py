"""The spans of a stored run, read apart from it and given back to its trials where they are wanted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from evalkit.errors import StoreError
from evalkit.files import exists, read_stored
from evalkit.packing import unpack
from evalkit.records import Run, Trial
from evalkit.spanfile import SPANS_FILE, SpansByTrial, load_spans
from evalkit.store import HEADER_FILE, SUMMARY_FILE, changed_text


def read_spans_of(run: Run) -> SpansByTrial:
    """The spans of a stored run, by case id and number of trial; a baseline holds none.

    Raises:
        StoreError: they cannot be read, or are not those that the run wrote.
    """
    folder = Path(run.path)
    if not run.path or not exists(folder / HEADER_FILE):
        return {}
    if not run.finished:
        return load_spans(folder)
    try:
        written = unpack(read_stored(folder / SUMMARY_FILE))["sha256"].get(SPANS_FILE)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StoreError(changed_text(folder, [SUMMARY_FILE])) from None
    return load_spans(folder, written)


def with_spans(run: Run) -> Run:
    """The run with the spans of its trials in their outputs, for whatever scores them again.

    Raises:
        StoreError: they cannot be read, or are not those that the run wrote.
    """
    return give_back(run, read_spans_of(run))


def give_back(run: Run, spans: SpansByTrial) -> Run:
    """The run with these spans in the outputs of its trials."""
    if not spans:
        return run
    return replace(run, trials=_give(run.trials, spans), fresh=_give(run.fresh, spans))


def _give(trials: Iterable[Trial], spans: SpansByTrial) -> tuple[Trial, ...]:
    return tuple(
        replace(
            trial,
            output=replace(trial.output, spans=spans.get((trial.case_id, trial.number), ())),
        )
        for trial in trials
    )
