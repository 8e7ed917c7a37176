"""The flags of an output whose spans are incomplete, and the warnings that a run prints for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from evalkit.core.format import format_count
from evalkit.core.trial import Trial

# Stored in runs, with "=N" appended to all but the last: renaming one makes old runs lose warnings.
SPANS_DROPPED = "spans_dropped"
SPANS_CUT = "spans_cut"
EXPORTS_REFUSED = "spans_refused"
SPANS_PARTIAL = "spans_partial"

_WARNINGS = {
    SPANS_DROPPED: "sent more spans than evalkit stores for one trial: {total:,} dropped",
    SPANS_CUT: "sent values longer than evalkit stores: {total:,} cut",
    EXPORTS_REFUSED: "sent exports that are no OTLP or too large: {total:,} refused",
    SPANS_PARTIAL: "sent no spans, or not all of them in time",
}


def find_trace_warnings(trials: Iterable[Trial]) -> list[str]:
    """Return one sentence for each kind of flag that the spans of a run have."""
    trials_of: Counter[str] = Counter()
    total_of: Counter[str] = Counter()
    for trial in trials:
        for flag in trial.output.flags:
            name, _, count = flag.partition("=")
            trials_of[name] += 1
            total_of[name] += int(count) if count.isdigit() else 0
    return [
        f"{format_count(trials_of[name], 'trial')} {words.format(total=total_of[name])}."
        for name, words in _WARNINGS.items()
        if trials_of[name]
    ]
