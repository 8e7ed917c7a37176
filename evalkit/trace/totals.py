"""Add up the spans of a trial: the tool calls, tokens and cost that the agent did not return itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from evalkit.core.spans import Span, SpanKind, ToolCall, Usage
from evalkit.core.trial import Output
from evalkit.trace.calls import drop_enclosing_spans

_Number = TypeVar("_Number", int, float)


def fill_from_spans(output: Output) -> Output:
    """Return the output with tool calls, usage and cost from its spans, where the agent gave none."""
    if not output.spans:
        return output
    models = _find_usage_spans(output.spans)
    return replace(
        output,
        tool_calls=output.tool_calls
        or tuple(_to_tool_call(span) for span in output.spans if span.kind == "tool"),
        usage=output.usage or _sum_usage(models),
        cost_usd=output.cost_usd
        if output.cost_usd is not None
        else _sum_known(span.cost_usd for span in models),
    )


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
