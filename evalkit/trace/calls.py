"""Read the tool calls and the model calls of an output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evalkit.core.spans import NO_TOOL_CALLS, Span, ToolCall
from evalkit.core.trial import Output

UNNAMED = "(unnamed)"
"""What reports call a tool or a model without a name."""

NO_TOOL_CALL_DATA = "the agent did not say which tools it called. Return `tool_calls` (an empty list for none), or spans"
"""The reason why a metric of tool calls has no value, and what to change in the agent."""


def get_tool_calls(output: Output) -> tuple[ToolCall, ...] | None:
    """Return the tool calls in order, or None when it is unknown whether there were any.

    `fill_from_spans` has already added the calls found in spans. Model spans alone are no evidence
    that an agent called no tool: many agents trace their models only.
    """
    if output.tool_calls:
        return _add_durations(output.tool_calls, output.spans)
    is_known = NO_TOOL_CALLS in output.flags or any(span.kind == "agent" for span in output.spans)
    return () if is_known else None


def _add_durations(calls: tuple[ToolCall, ...], spans: Sequence[Span]) -> tuple[ToolCall, ...]:
    """Return calls without durations with those of the spans, where both list the same tools."""
    tools = [span for span in spans if span.kind == "tool"]
    is_timed = any(call.duration_s is not None for call in calls)
    if is_timed or [call.name for call in calls] != [span.tool for span in tools]:
        return calls
    pairs = zip(calls, tools, strict=True)
    return tuple(replace(call, duration_s=span.duration_s) for call, span in pairs)


def get_model_calls(output: Output) -> tuple[Span, ...]:
    """Return the model calls; of nested spans for one call, the innermost.

    The agent's own span is left out: it often repeats the tokens of its model calls as a sum.
    """
    models = [span for span in output.spans if span.kind == "model"]
    return tuple(drop_enclosing_spans(models, output.spans))


def drop_enclosing_spans(chosen: Sequence[Span], spans: Sequence[Span]) -> list[Span]:
    """Return the chosen spans that enclose no other chosen span, at any depth of `spans`.

    Two instrumentations of one call produce nested spans, which would otherwise count twice.
    """
    parent_of = {span.id: span.parent_id for span in spans}
    enclosing: set[str] = set()
    for span in chosen:
        ancestor = span.parent_id
        while ancestor and ancestor not in enclosing:
            enclosing.add(ancestor)
            ancestor = parent_of.get(ancestor, "")
    return [span for span in chosen if span.id not in enclosing]
