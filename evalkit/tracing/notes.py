"""What kept spans from being whole, as flags of an output and as notes on a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from evalkit.records import Trial
from evalkit.spelling import count_of

DROPPED = "spans_dropped"
CUT = "spans_cut"
REFUSED = "spans_refused"
PARTIAL = "spans_partial"
"""Flags of an output: steps beyond the cap, values cut to fit, messages that could not be read, and
steps that did not come in time."""


def count_flags(counts: Mapping[str, int]) -> tuple[str, ...]:
    """What was done to the spans of a trial, and how often, as flags of its output."""
    return tuple(f"{name}={count}" for name, count in counts.items() if count)


def trace_notes(trials: Iterable[Trial]) -> list[str]:
    """What is missing from the spans of a run, kind by kind."""
    trials_of: Counter[str] = Counter()
    total_of: Counter[str] = Counter()
    for trial in trials:
        for flag in trial.output.flags:
            name, _, count = flag.partition("=")
            trials_of[name] += 1
            total_of[name] += int(count) if count.isdigit() else 0
    said = {
        DROPPED: "told of more steps than are kept of one: {total:,} left out",
        CUT: "told of values longer than are kept: {total:,} cut",
        REFUSED: "sent messages that are no spans, or too large: {total:,} refused",
        PARTIAL: "had spans that did not come in time, or none",
    }
    return [
        f"{count_of(trials_of[name], 'trial')} {words.format(total=total_of[name])}."
        for name, words in said.items()
        if trials_of[name]
    ]
