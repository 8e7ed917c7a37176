"""Add up the spans of a trial: the tool calls, tokens and cost that the agent did not return itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from evalkit.core.prices import TokenCounts, look_up_cost_usd
from evalkit.core.spans import Span, SpanKind, ToolCall, Usage
from evalkit.core.trial import Output
from evalkit.trace.calls import drop_enclosing_spans
from evalkit.trace.conventions import CACHED_TOKENS, PROVIDERS

_Number = TypeVar("_Number", int, float)


def fill_from_spans(output: Output) -> Output:
    """Return the output with tool calls, usage and cost from its spans, where the agent gave none.

    Model calls without a cost get the known price of their tokens. To load the prices takes half a
    second the first time.
    """
    if not output.spans:
        return output
    spans = tuple(_with_price(span) for span in output.spans)
    models = _find_usage_spans(spans)
    return replace(
        output,
        spans=spans,
        tool_calls=output.tool_calls
        or tuple(_to_tool_call(span) for span in spans if span.kind == "tool"),
        usage=output.usage or _sum_usage(models),
        cost_usd=output.cost_usd
        if output.cost_usd is not None
        else _sum_known(span.cost_usd for span in models),
    )


def _with_price(span: Span) -> Span:
    """Return the span of a model call with the known price of its tokens, unless it has a cost."""
    if span.kind != "model" or span.cost_usd is not None or span.input_tokens is None:
        return span
    cached = next(filter(None, map(span.attributes.get, CACHED_TOKENS)), 0)
    tokens = TokenCounts(
        input_tokens=span.input_tokens,
        output_tokens=span.output_tokens or 0,
        cached_tokens=cached if isinstance(cached, int) else 0,
    )
    seller = str(next(filter(None, map(span.attributes.get, PROVIDERS)), ""))
    cost_usd = look_up_cost_usd(span.model, tokens, provider=seller)
    return replace(span, cost_usd=cost_usd)


def _to_tool_call(span: Span) -> ToolCall:
    return ToolCall(
        name=span.tool or span.name,
        arguments=span.arguments,
        result=span.result,
        error=span.error or span.error_type or None,
        duration_s=span.duration_s,
    )


def _find_usage_spans(spans: Sequence[Span]) -> list[Span]:
    """Return the innermost model spans that have usage, else the innermost agent spans that do.

    An agent span repeats the sum of the model calls inside it, so the two kinds must not be mixed.
    """
    kinds: tuple[SpanKind, ...] = ("model", "agent")
    for kind in kinds:
        with_usage = [
            span
            for span in spans
            if span.kind == kind
            and (span.input_tokens, span.output_tokens, span.cost_usd) != (None, None, None)
        ]
        if with_usage:
            return drop_enclosing_spans(with_usage, spans)
    return []


def _sum_usage(spans: Sequence[Span]) -> Usage | None:
    inputs = _sum_known(span.input_tokens for span in spans)
    outputs = _sum_known(span.output_tokens for span in spans)
    if inputs is None and outputs is None:
        return None
    return Usage(input_tokens=inputs or 0, output_tokens=outputs or 0)


def _sum_known(values: Iterable[_Number | None]) -> _Number | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
