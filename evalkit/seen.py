"""What an output tells of how it came about: its tool calls, the models it asked, its steps."""

from __future__ import annotations

from evalkit.records import Output
from evalkit.spans import NO_TOOL_CALLS, Span, ToolCall

UNTOLD = (
    "nothing tells which tools were called. Return `tool_calls` (an empty list for none), or spans"
)
"""Why a metric of tool calls has nothing to go by; the remedy is the agent's to take."""


def calls_of(output: Output) -> tuple[ToolCall, ...] | None:
    """The tool calls in order; None when nothing tells whether there were any.

    Spans of models alone tell nothing of tools that an agent calls by itself.
    """
    if output.tool_calls:
        return output.tool_calls
    calls = tuple(_as_call(span) for span in output.spans if span.kind == "tool")
    tells = NO_TOOL_CALLS in output.flags or any(span.kind == "agent" for span in output.spans)
    return calls if calls or tells else None


def _as_call(span: Span) -> ToolCall:
    failed = span.error_type or span.error
    return ToolCall(
        name=span.tool or span.name,
        arguments=span.arguments,
        result=span.result,
        error=(span.error or span.error_type) if failed else None,
        duration_s=span.duration_s,
    )


def model_calls_of(output: Output) -> tuple[Span, ...]:
    """The calls of models; not the agent's own span, which often repeats their tokens as a sum."""
    return tuple(span for span in output.spans if span.kind == "model")
