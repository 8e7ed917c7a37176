"""What kept spans from being whole, as flags of an output and as notes on a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from evalkit.core.format import format_count
from evalkit.core.trial import Trial

SPANS_DROPPED = "spans_dropped"
SPANS_CUT = "spans_cut"
EXPORTS_REFUSED = "spans_refused"
SPANS_PARTIAL = "spans_partial"
"""Flags of an output: steps beyond the cap, values cut to fit, messages that could not be read, and
steps that did not come in time."""


def build_count_flags(counts: Mapping[str, int]) -> tuple[str, ...]:
    """What was done to the spans of a trial, and how often, as flags of its output."""
    return tuple(f"{name}={count}" for name, count in counts.items() if count)


def find_trace_warnings(trials: Iterable[Trial]) -> list[str]:
    """What is missing from the spans of a run, kind by kind."""
    trials_of: Counter[str] = Counter()
    total_of: Counter[str] = Counter()
    for trial in trials:
        for flag in trial.output.flags:
            name, _, count = flag.partition("=")
            trials_of[name] += 1
            total_of[name] += int(count) if count.isdigit() else 0
    said = {
        SPANS_DROPPED: "told of more steps than are kept of one: {total:,} left out",
        SPANS_CUT: "told of values longer than are kept: {total:,} cut",
        EXPORTS_REFUSED: "sent messages that are no spans, or too large: {total:,} refused",
        SPANS_PARTIAL: "had spans that did not come in time, or none",
    }
    return [
        f"{format_count(trials_of[name], 'trial')} {words.format(total=total_of[name])}."
        for name, words in said.items()
        if trials_of[name]
    ]
