"""Find the spans of one call: two instrumentations that see the same call send a span each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from evalkit.core.spans import Span
from evalkit.core.values import is_same_json
from evalkit.trace.requested_calls import get_call_id

_FILLED = (
    "arguments",
    "result",
    "prompt",
    "temperature",
    "input_tokens",
    "output_tokens",
    "cost_usd",
)
"""The fields of a kept span that are taken from the other one where they are unknown."""


def merge_repeated_calls(spans: Sequence[Span], scopes: Mapping[str, str]) -> list[Span]:
    """Return all spans, in which each call of a tool or a model is one span of its kind.

    The other spans of a call become steps. Of a tool call the outer span is kept, of a model call
    the inner one, because one span of a framework may retry several calls. `spans` are ordered by start;
    `scopes` has the instrumentation of each span by id.
    """
    by_id = {span.id: span for span in spans}
    pairs = list(_find_pairs(spans, scopes))
    inner_of: dict[str, list[str]] = {}
    for outer, inner in pairs:
        inner_of.setdefault(outer, []).append(inner)
    for outer, inners in inner_of.items():
        if by_id[outer].kind == "model":
            if len(inners) == 1:
                by_id[inners[0]] = _fill(by_id[inners[0]], by_id[outer])
            by_id[outer] = replace(by_id[outer], kind="step")
    # From the innermost outward, so that a chain of spans ends in its outermost.
    for outer in reversed(inner_of):
        if by_id[outer].kind == "tool":
            for inner in inner_of[outer]:
                by_id[outer] = _fill(by_id[outer], by_id[inner])
                by_id[inner] = replace(by_id[inner], kind="step")
    return [by_id[span.id] for span in spans]


def _fill(kept: Span, other: Span) -> Span:
    names = (name for name in _FILLED if getattr(kept, name) is None)
    missing: dict[str, Any] = {name: getattr(other, name) for name in names}
    if not (kept.error or kept.error_type) and kept.kind == "tool":
        missing |= {"error": other.error, "error_type": other.error_type}
    return replace(kept, model=kept.model or other.model, **missing)


def _find_pairs(spans: Sequence[Span], scopes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the ids of an outer and an inner span of the same call, ordered by the outer one."""
    by_id = {span.id: span for span in spans}
    calls = [span for span in spans if span.kind in ("tool", "model")]
    outer_of = {span.id: outer.id for span in calls if (outer := _find_outer(span, by_id))}
    # One span of another instrumentation is at most one call, and is the same as at most one.
    taken: set[tuple[str, str]] = set()
    for index, outer in enumerate(calls):
        beside = _find_beside(outer, calls[index + 1 :], scopes) if scopes.get(outer.id) else ()
        for inner in beside:
            key = (outer.id, scopes[inner.id])
            if inner.id not in outer_of and key not in taken and outer_of.get(outer.id) != inner.id:
                taken.add(key)
                outer_of[inner.id] = outer.id
    order = {span.id: index for index, span in enumerate(spans)}
    pairs = [(outer, inner) for inner, outer in outer_of.items()]
    yield from sorted(pairs, key=lambda pair: (order[pair[0]], order[pair[1]]))


def _find_outer(span: Span, by_id: Mapping[str, Span]) -> Span | None:
    """Return the nearest call around a span, if it is the same one and only steps lie between them."""
    around = by_id.get(span.parent_id)
    while around is not None and around.kind == "step":
        around = by_id.get(around.parent_id)
    if around is None or around.kind != span.kind or _differ(around, span):
        return None
    return around


def _find_beside(outer: Span, later: Sequence[Span], scopes: Mapping[str, str]) -> Iterator[Span]:
    """Yield the spans that another instrumentation sent of the same call, in a trace of its own."""
    end_s = outer.start_s + outer.duration_s
    for span in later:
        if span.start_s >= end_s:
            return
        if span.kind != outer.kind or scopes.get(span.id, "") in ("", scopes[outer.id]):
            continue
        # Two instrumentations of one call end in any order, and nearly at once.
        shared_s = min(end_s, span.start_s + span.duration_s) - span.start_s
        is_inside = shared_s >= min(outer.duration_s, span.duration_s) / 2
        if is_inside and not _differ(outer, span) and _has_evidence(outer, span):
            yield span


def _differ(one: Span, other: Span) -> bool:
    """Return whether what is known of two spans says that they are two calls."""
    if one.kind == "model":
        return False
    if one.tool != other.tool:
        return True
    if one.arguments is not None and other.arguments is not None:
        return not is_same_json(one.arguments, other.arguments)
    ids = get_call_id(one), get_call_id(other)
    return all(ids) and ids[0] != ids[1]


def _has_evidence(one: Span, other: Span) -> bool:
    """Return whether two spans that are not nested are one call: overlapping ones may be parallel."""
    if one.kind == "tool":
        return True
    if "" not in (one.model, other.model) and _plain(one.model) != _plain(other.model):
        return False
    counts = [(span.input_tokens, span.output_tokens) for span in (one, other)]
    return (None, None) in counts or counts[0] == counts[1]


def _plain(model: str) -> str:
    """Return a model's name without its provider and date."""
    words = model.rpartition("/")[2].split("-")
    return "-".join(word for word in words if not (word.isdigit() and len(word) > 1))
