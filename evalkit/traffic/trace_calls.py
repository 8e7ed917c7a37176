"""The spans of a trace, and which of them are its calls of models and tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec


class SpanFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a request needs to know of a span: columns of the table spans, under their names."""

    request_id: str
    span_id: str
    parent_id: str | None = None
    remote_parent: bool | None = None
    kind: str
    name: str | None = None
    start_ns: int
    end_ns: int | None = None
    status: str | None = None
    error_type: str | None = None
    error_text: str | None = None
    model: str | None = None
    tool: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cost_usd: float | None = None
    cost_from: str | None = None
    ttft_ms: float | None = None
    input: str | None = None
    output: str | None = None
    user: str | None = None
    session: str | None = None
    version: str | None = None
    version_from: str | None = None
    variant: str | None = None
    environment: str | None = None
    escalated: bool | None = None
    resolved: bool | None = None
    sampling_p: float | None = None
    source: str
    import_id: str
    updated_us: int | None = None


def find_usage(spans: Sequence[SpanFacts]) -> list[SpanFacts]:
    """Return the innermost model calls, or the innermost agents if those alone have tokens.

    An agent repeats the sum of its model calls, and two instrumentations of a call nest their spans, so
    that a sum over all spans would count tokens twice.
    """
    has_usage = [
        span
        for span in spans
        if span.input_tokens is not None
        or span.output_tokens is not None
        or span.cost_usd is not None
    ]
    for kind in ("model", "agent"):
        chosen = [span for span in has_usage if span.kind == kind]
        if chosen:
            return _drop_enclosing(chosen, spans)
    models = [span for span in spans if span.kind == "model"]
    return _drop_enclosing(models, spans)


def _drop_enclosing(chosen: Sequence[SpanFacts], spans: Sequence[SpanFacts]) -> list[SpanFacts]:
    if len(chosen) < 2:
        return list(chosen)
    parent_of = {span.span_id: span.parent_id for span in spans}
    enclosing: set[str] = set()
    for span in chosen:
        around = span.parent_id
        while around and around not in enclosing:
            enclosing.add(around)
            around = parent_of.get(around)
    return [span for span in chosen if span.span_id not in enclosing]


def drop_enclosed(chosen: Sequence[SpanFacts], spans: Sequence[SpanFacts]) -> list[SpanFacts]:
    """Return the outermost of these spans."""
    if len(chosen) < 2:
        return list(chosen)
    parent_of = {span.span_id: span.parent_id for span in spans}
    ids = {span.span_id for span in chosen}
    kept = []
    for span in chosen:
        seen, around = {span.span_id}, span.parent_id
        while around and around not in ids and around not in seen:
            seen.add(around)
            around = parent_of.get(around)
        if around not in ids:
            kept.append(span)
    return kept


def find_tools(spans: Sequence[SpanFacts]) -> list[SpanFacts]:
    """Return the tool calls; of nested spans of one tool, the outermost is the call."""
    tools = [span for span in spans if span.kind == "tool"]
    if len(tools) < 2:
        return tools
    by_id = {span.span_id: span for span in spans}
    return [span for span in tools if _find_repeated(span, by_id) is None]


def _find_repeated(span: SpanFacts, by_id: Mapping[str, SpanFacts]) -> SpanFacts | None:
    """Return the span around this one that is the same call of a tool; None if there is none."""
    seen = {span.span_id}
    around = by_id.get(span.parent_id or "")
    while around is not None and around.kind == "step" and around.span_id not in seen:
        seen.add(around.span_id)
        around = by_id.get(around.parent_id or "")
    is_same = around is not None and around.kind == "tool" and around.tool == span.tool
    return around if is_same else None


def count_failed(tools: Sequence[SpanFacts], spans: Sequence[SpanFacts]) -> int:
    """Return how many calls failed, also if only a span that repeats the call says so."""
    erroneous = [span for span in spans if span.status == "error" and span.kind == "tool"]
    if not erroneous:
        return 0
    by_id = {span.span_id: span for span in spans}
    failed: set[str] = set()
    for span in erroneous:
        call, seen = span, {span.span_id}
        while (around := _find_repeated(call, by_id)) and around.span_id not in seen:
            call = around
            seen.add(call.span_id)
        failed.add(call.span_id)
    return sum(span.span_id in failed for span in tools)
