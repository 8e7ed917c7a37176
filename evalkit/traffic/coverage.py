"""Say for which requests a measure is unknown, if that keeps a threshold from being decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evalkit.core.eval_set import Rule
from evalkit.traffic.gate_records import Side
from evalkit.traffic.measures import Measure
from evalkit.traffic.periods import name_days

MIN_COVERAGE = 0.9
"""A measure that is known for so much less of the requests on one side is another measure."""

FEEDBACK_MEASURES = ("satisfaction", "feedback_rate")
"""Measures that wait for feedback. That few requests have it does not make them incomplete."""

_UNIVERSAL_MEASURES = (
    "success_rate",
    "error_rate",
    "latency_s",
    "cost_usd",
    "cost_per_success_usd",
)
"""Measures that every request has, so that a limit needs nearly all of them."""

_MIN_SHARE_OF_DAY = 0.3
"""With less than this share of the usual values, those of a day were lost."""

_MIN_EXPECTED = 30.0
"""So many values are to be expected on a day that can be said to lack them."""


def describe_coverage(
    rule: Rule, measure: Measure, candidate: Side, others: Sequence[Side]
) -> Iterator[str]:
    """Yield why a threshold does not pass, because its measure is unknown for many requests.

    Args:
        rule: the threshold.
        measure: its measure.
        candidate: the measure in the period to decide.
        others: the measure in the earlier periods, also if the threshold is a limit: they show what is usual.
    """
    unlike: list[str] = []
    if measure.name not in FEEDBACK_MEASURES:
        unlike = [text for each in others if (text := _compare_coverage(candidate, each))]
        yield from unlike
    is_limit = not rule.compares and measure.name in _UNIVERSAL_MEASURES
    if is_limit and not unlike and candidate.coverage < MIN_COVERAGE:
        yield (
            f"it is known for {candidate.coverage:.0%} of the requests of {candidate.label}, and a limit needs "
            f"{MIN_COVERAGE:.0%}"
        )
    usual = max((each.coverage for each in (candidate, *others)), default=0.0)
    for side in (candidate, *(others if rule.compares else ())):
        yield from _describe_lost_days(side, usual)


def _compare_coverage(candidate: Side, earlier: Side) -> str:
    low, high = sorted((candidate.coverage, earlier.coverage))
    if low >= MIN_COVERAGE * high:
        return ""
    return (
        f"it is known for {candidate.coverage:.0%} of the requests of {candidate.label}, and for "
        f"{earlier.coverage:.0%} of {earlier.label}"
    )


def _describe_lost_days(side: Side, usual: float) -> Iterator[str]:
    """Yield the days on which far fewer requests have a value than on the best day, or than is usual."""
    best = [each.known / each.requests for each in side.by_day if each.known >= _MIN_EXPECTED]
    usual = max(usual, *best) if best else usual
    lost = [
        each.day
        for each in side.by_day
        if (expected := usual * each.requests) >= _MIN_EXPECTED
        and each.known < _MIN_SHARE_OF_DAY * expected
    ]
    if lost:
        yield f"it is unknown for most of the requests of {side.label} on {name_days(lost)}"
