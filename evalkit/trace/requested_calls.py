"""Fill in the arguments of tool spans that have none from the model's request for the call."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from evalkit.core.literals import Json
from evalkit.core.spans import Span
from evalkit.trace.conventions import TOOL_CALL_IDS
from evalkit.trace.tool_data import parse_value

_OPENINFERENCE = re.compile(
    r"llm\.output_messages\.(\d+)\.message\.tool_calls\.(\d+)\.tool_call\.(id|function\.\w+)"
)


class RequestedCall(NamedTuple):
    """A call that a model asked for: the id that it gave to the call, the tool, and the arguments."""

    call_id: str
    tool: str
    arguments: Json


def fill_requested_arguments(spans: Sequence[Span]) -> list[Span]:
    """Return the spans, ordered by start, with arguments where a model's request has them.

    A request belongs to a tool span that starts later and has the id of the call. Of several such
    requests the latest counts, because some models use an id again.
    """
    requested: dict[tuple[str, str], Json] = {}
    filled = []
    for span in spans:
        if span.kind == "model":
            requested |= {(call.call_id, call.tool): call.arguments for call in _find_calls(span)}
        elif span.kind == "tool" and span.arguments is None:
            arguments = requested.get((get_call_id(span), span.tool))
            span = replace(span, arguments=arguments)  # noqa: PLW2901 - the same span, completed
        filled.append(span)
    return filled


def get_call_id(span: Span) -> str:
    """Return the id that the model gave to a tool call, or an empty text."""
    return str(next(filter(None, map(span.attributes.get, TOOL_CALL_IDS)), ""))


def _find_calls(span: Span) -> Iterator[RequestedCall]:
    """Yield the calls that a model asked for with an id, in the names of GenAI and OpenInference."""
    parts = [
        part
        for message in (span.result if isinstance(span.result, list) else ())
        if isinstance(message, Mapping) and isinstance(message.get("parts"), list)
        for part in message["parts"]
        if isinstance(part, Mapping) and part.get("type") == "tool_call"
    ]
    calls: dict[tuple[str, str], dict[str, Json]] = {}
    for name, value in span.attributes.items():
        if match := _OPENINFERENCE.fullmatch(name):
            key = match[3].removeprefix("function.")
            calls.setdefault((match[1], match[2]), {})[key] = value
    for call in (*parts, *calls.values()):
        if call.get("id") and "arguments" in call:
            arguments = parse_value(call["arguments"])
            yield RequestedCall(str(call["id"]), str(call.get("name") or ""), arguments)
