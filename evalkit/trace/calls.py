"""What an output tells of how it came about: its tool calls, the models it asked, its steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from evalkit.core.spans import NO_TOOL_CALLS, Span, ToolCall
from evalkit.core.trial import Output

NO_TOOL_CALL_DATA = (
    "nothing tells which tools were called. Return `tool_calls` (an empty list for none), or spans"
)
"""Why a metric of tool calls has nothing to go by; the remedy is the agent's to take."""


def get_tool_calls(output: Output) -> tuple[ToolCall, ...] | None:
    """The tool calls in order; None when nothing tells whether there were any.

    Those that spans tell of are in the output as if the agent had said so. Spans of models alone tell
    nothing of tools that an agent calls by itself.
    """
    if output.tool_calls:
        return _with_times(output.tool_calls, output.spans)
    tells = NO_TOOL_CALLS in output.flags or any(span.kind == "agent" for span in output.spans)
    return () if tells else None


def _with_times(calls: tuple[ToolCall, ...], spans: Iterable[Span]) -> tuple[ToolCall, ...]:
    """Calls that the agent told without their times, with those of the spans that tell the same."""
    told = [span for span in spans if span.kind == "tool"]
    timed = any(call.duration_s is not None for call in calls)
    if timed or [call.name for call in calls] != [span.tool for span in told]:
        return calls
    pairs = zip(calls, told, strict=True)
    return tuple(replace(call, duration_s=span.duration_s) for call, span in pairs)


def get_model_calls(output: Output) -> tuple[Span, ...]:
    """The calls of models; of those that two libraries tell of, one inside the other, the inner one.

    The agent's own span is none, which often repeats their tokens as a sum.
    """
    models = [span for span in output.spans if span.kind == "model"]
    around = _find_ancestors(models, output.spans)
    return tuple(span for span in models if span.id not in around)


def _find_ancestors(spans: Iterable[Span], every: Iterable[Span]) -> set[str]:
    parent_of = {span.id: span.parent_id for span in every}
    found: set[str] = set()
    for span in spans:
        above = span.parent_id
        while above and above not in found:
            found.add(above)
            above = parent_of.get(above, "")
    return found
