"""Format the parts of sentences that several kinds of checks share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite

from evalkit.core.eval_set import Rule
from evalkit.core.format import format_count, format_missing, format_value
from evalkit.core.gate_result import CaseContribution

_MAX_NAMED_CASES = 5


def format_hits(hits: Sequence[CaseContribution], unit: str = "") -> str:
    """Return the cases of a check with both results: `case-17 (10/10 -> 0/2)`.

    Numbers of one metric follow its name, unless the sentence is about that metric.
    """
    words = []
    for hit in hits:
        if hit.is_count:
            before, now = f"{hit.base:g}/{hit.base_trials}", f"{hit.candidate:g}/{hit.trials}"
        else:
            before, now = format_value(hit.base, unit), format_value(hit.candidate, unit)
        alone = f"{now} passed" if hit.is_count else now
        counts = f"{before} -> {now}" if hit.base_trials else alone
        name = f"{hit.metric} " if hit.metric else ""
        words.append(f"{hit.case_id} ({name}{counts}{', flaky' if hit.flaky else ''})")
    return ", ".join(words)


def list_hits(hits: Sequence[CaseContribution]) -> str:
    """Return the first few cases of a check after a colon; empty if there are none."""
    left = len(hits) - _MAX_NAMED_CASES
    more = f" and {left} more" if left > 0 else ""
    return f": {format_hits(hits[:_MAX_NAMED_CASES])}{more}" if hits else ""


def format_interval(rule: Rule, low: float, high: float, format_end: Callable[[float], str]) -> str:
    """Return an interval with its level: `90% interval 71.2% to 84.0%`."""
    level = f"{100 * (1 - 2 * rule.alpha):.3g}% interval"
    if not (isfinite(low) or isfinite(high)):
        return f"too little data for a {level}"
    ends = [format_end(bound) if isfinite(bound) else "unknown" for bound in (low, high)]
    return f"{level} {ends[0]} to {ends[1]}"


def format_sample(cases: int, clusters: int | None) -> str:
    """Return the size of a sample: `100 cases in 12 clusters`."""
    text = format_count(cases, "case")
    return text if clusters is None else f"{text} in {format_count(clusters, 'cluster')}"


def format_scored(scored: int, due: int, missing: Mapping[str, int]) -> str:
    """Return how many of the trials that should have a score have one: `96 of 100 scored, 4 ...`."""
    if scored == due:
        return format_count(scored, "trial")
    return f"{scored:,} of {due:,} scored, {format_missing(missing)}"


def finite_or_none(bound: float) -> float | None:
    """Return a bound, or None if it is infinite, which means unknown."""
    return bound if isfinite(bound) else None
