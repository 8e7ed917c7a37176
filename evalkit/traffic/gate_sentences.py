"""Say what a threshold of traffic found, and how much traffic would decide it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import ceil, inf, isfinite

from evalkit.core.format import (
    find_distinct_digits,
    format_bound,
    format_change,
    format_count,
    format_limit,
    format_value,
    name_rule,
)
from evalkit.core.literals import Outcome
from evalkit.gate.phrases import format_interval
from evalkit.stats.intervals import Interval
from evalkit.traffic.gate_records import PendingChange, RuleData, Side

_ROUNDING = 1e-9
_COMPLETE = 1 - 1e-9
_MAX_FACTOR = 1_000
"""Nobody waits for a thousand times as much traffic."""


def _sizes(side: Side) -> str:
    requests = format_count(round(side.known), "request")
    if side.coverage < _COMPLETE:
        requests = f"{round(side.known):,} of {format_count(round(side.requests), 'request')}"
    return f"{format_count(side.users, 'user')}, {requests}"


def limit_sentence(
    data: RuleData, value: float, interval: Interval, decided: Outcome, outcome: Outcome
) -> str:
    """Return the sentence of a threshold with `min` or `max`, which is `decided` but for missing data."""
    rule, side = data.rule, data.candidate
    unit = data.measure.unit
    limit = rule.min if rule.min is not None else rule.max or 0.0
    extra = find_distinct_digits(
        [(value, limit), (interval.low, limit), (interval.high, limit)],
        lambda number, digits: format_value(number, unit, digits),
    )
    show = partial(format_value, unit=unit, extra=extra)
    side_word, needs, beyond = (
        ("least", "required", "below") if rule.min is not None else ("most", "allowed", "above")
    )
    finding = {
        "fail": f", and the whole interval is {beyond} it",
        "pass": ", and the whole interval is within it",
        "inconclusive": ", and the interval includes it",
    }
    return _add_problems(
        f"{outcome.upper()} {name_rule(rule)} {show(value)} "
        f"({format_interval(rule, interval.low, interval.high, show)}; {_sizes(side)}). "
        f"At {side_word} {format_bound(limit, unit)} is {needs}{finding[decided]}.",
        data,
        outcome,
    )


def change_sentence(
    pending: PendingChange, decided: Outcome, outcome: Outcome, level: float
) -> str:
    """Return the sentence of a threshold that compares, which is `decided` but for missing data.

    `level` is its share of alpha.
    """
    data, rule, scale, limits = pending.data, pending.data.rule, pending.scale, pending.limits
    unit = data.measure.unit
    change = scale.as_change(pending.harm)
    bounds = pending.bounds(rule.alpha)
    low, high = sorted(map(scale.as_change, bounds))
    extra = find_distinct_digits(
        (
            (change, scale.as_change(limits.max_drop)),
            (scale.as_change(bounds.high), scale.as_change(limits.tolerated)),
        ),
        lambda number, digits: format_change(number, unit, digits),
    )
    interval = format_interval(
        rule, low, high, lambda end: format_change(end, unit, extra).removesuffix(" pt")
    )
    before, now = (
        format_value(each.value, unit)
        for each in (pending.compared.base, pending.compared.candidate)
    )
    sizes = f"{_sizes(data.candidate)}; before {_earlier_sizes(data.earlier)}"
    return _add_problems(
        f"{outcome.upper()} {name_rule(rule)} {before} -> {now} "
        f"({format_change(change, unit, extra)}, {interval}; {sizes}). {_finding(pending, decided, level)}",
        data,
        outcome,
    )


def _earlier_sizes(earlier: Sequence[Side]) -> str:
    if len(earlier) == 1:
        return _sizes(earlier[0])
    known = round(sum(side.known for side in earlier))
    return f"{format_count(known, 'request')} in {len(earlier)} periods"


def _finding(pending: PendingChange, decided: Outcome, level: float) -> str:
    unit, noun = pending.data.measure.unit, pending.scale.noun
    allowed = _limit_text(pending, pending.limits.max_drop, unit)
    tolerated = _limit_text(pending, pending.limits.tolerated, unit)
    if decided == "fail":
        return f"A {noun} of {allowed} or more fails, and this one is more than noise."
    if decided == "pass":
        return f"A {noun} of {tolerated} or more is ruled out."
    if pending.harm >= pending.limits.max_drop:
        shared = ""
        if level < pending.p_value <= pending.data.rule.alpha:
            shared = (
                f": p is {pending.p_value:.2g}, and its share of alpha is {level:.2g}, because several "
                f"thresholds compare"
            )
        return f"A {noun} of {allowed} or more fails, and this one may be noise{shared}."
    return f"A {noun} of {tolerated} is neither proven nor ruled out."


def _limit_text(pending: PendingChange, harm: float, unit: str) -> str:
    if not isfinite(harm):
        return "everything"
    return format_limit(abs(pending.scale.as_change(harm)), unit)


def _add_problems(sentence: str, data: RuleData, outcome: Outcome) -> str:
    if not data.all_problems or outcome != "undecided":
        return sentence
    return f"{sentence} It does not pass, because {'; '.join(data.all_problems)}."


def plan_limit(value: float, interval: Interval, limit: float, users: int) -> str:
    """Return how many users would decide an inconclusive limit."""
    bound = interval.high if value < limit else interval.low
    return _plan_text(abs(bound - value), abs(limit - value), users)


def plan_change(pending: PendingChange, bounds: Interval) -> str:
    """Return how many users would decide an inconclusive comparison; empty with several earlier periods."""
    if len(pending.compared.periods) > 1:
        return ""
    reach, distance = bounds.high - pending.harm, pending.limits.tolerated - pending.harm
    if pending.harm >= pending.limits.max_drop - _ROUNDING:
        reach, distance = pending.harm - bounds.low, pending.harm
    return _plan_text(reach, distance, pending.data.candidate.users)


def _plan_text(reach: float, distance: float, users: int) -> str:
    """Return how many users would decide, if the width falls with the square root of their number."""
    factor = (reach / distance) ** 2 if distance > _ROUNDING else inf
    if not factor < _MAX_FACTOR:
        return "It is too close to the limit to say how much traffic would decide."
    return f"About {ceil(users * factor):,} users on each side would decide, if the difference stays the same."
