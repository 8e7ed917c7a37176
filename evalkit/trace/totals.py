"""What the steps of a trial add up to: the tool calls, tokens and cost that the agent did not give itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evalkit.core.spans import Span, SpanKind, ToolCall, Usage
from evalkit.core.trial import Output


def fill_from_spans(output: Output) -> Output:
    """The output with tool calls, usage and cost from its spans, where the agent told of none."""
    if not output.spans:
        return output
    models = _find_usage_spans(output.spans)
    return replace(
        output,
        tool_calls=output.tool_calls or tuple(map(_to_tool_call, find_tool_spans(output.spans))),
        usage=output.usage or _sum_usage(models),
        cost_usd=output.cost_usd if output.cost_usd is not None else _sum_cost(models),
    )


def find_tool_spans(spans: Sequence[Span]) -> list[Span]:
    """The calls of tools; one that two libraries tell of, one inside the other, is counted once."""
    by_id = {span.id: span for span in spans}

    def is_repeated(span: Span) -> bool:
        above = by_id.get(span.parent_id)
        return above is not None and above.kind == "tool" and above.tool == span.tool

    return [span for span in spans if span.kind == "tool" and not is_repeated(span)]


def _to_tool_call(span: Span) -> ToolCall:
    failed = bool(span.error or span.error_type)
    return ToolCall(
        name=span.tool or span.name,
        arguments=span.arguments,
        result=span.result,
        error=(span.error or span.error_type) if failed else None,
        duration_s=span.duration_s,
    )


def _find_usage_spans(spans: Sequence[Span]) -> list[Span]:
    """The spans to add up: calls of models, innermost of those nested; of agents where there are none.

    Agents tell the sum of the calls inside them, which must not be added to these.
    """
    kinds: tuple[SpanKind, ...] = ("model", "agent")
    for kind in kinds:
        telling = [span for span in spans if span.kind == kind and _has_usage(span)]
        if telling:
            parents = _find_ancestors(telling, spans)
            return [span for span in telling if span.id not in parents]
    return []


def _has_usage(span: Span) -> bool:
    return any(
        value is not None for value in (span.input_tokens, span.output_tokens, span.cost_usd)
    )


def _find_ancestors(chosen: Sequence[Span], spans: Sequence[Span]) -> set[str]:
    parent_of = {span.id: span.parent_id for span in spans}
    found: set[str] = set()
    for span in chosen:
        above = span.parent_id
        while above and above not in found:
            found.add(above)
            above = parent_of.get(above, "")
    return found


def _sum_usage(spans: Sequence[Span]) -> Usage | None:
    if all(span.input_tokens is None and span.output_tokens is None for span in spans):
        return None
    return Usage(
        input_tokens=sum(span.input_tokens or 0 for span in spans),
        output_tokens=sum(span.output_tokens or 0 for span in spans),
    )


def _sum_cost(spans: Sequence[Span]) -> float | None:
    costs = [span.cost_usd for span in spans if span.cost_usd is not None]
    return sum(costs) if costs else None
