"""Turn the status and the events of a span into its error and further attributes.

This module runs in the agent's process, so it imports almost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

from evalkit.trace.recording import SpanPayload

SpanStatus: TypeAlias = Literal["unset", "ok", "error"]
SpanEvent: TypeAlias = tuple[str, Mapping[str, Any]]
"""The name and the attributes of an event."""

EVENT_INPUT = "evalkit.event.input"
EVENT_OUTPUT = "evalkit.event.output"
"""The attributes with the messages that a span has in events."""

CAUGHT_TYPE = "evalkit.caught.type"
CAUGHT_MESSAGE = "evalkit.caught.message"
"""The attributes with the exception of a span that has no status. A failed tool may look so."""

_OPERATION_DETAILS = "gen_ai.client.inference.operation.details"


def read_outcome(
    status: SpanStatus, message: str, events: Iterable[SpanEvent], attributes: Mapping[str, Any]
) -> SpanPayload:
    """Return the `error`, `error_type`, and `attributes` of a payload.

    The messages that a library sends in events come under the names of attributes. Attributes of the
    span itself take precedence.
    """
    named = [(name, dict(values or {})) for name, values in events]
    raised: dict[str, Any] = next(
        (values for name, values in reversed(named) if name == "exception"), {}
    )
    kind, text = (str(raised.get(f"exception.{key}") or "") for key in ("type", "message"))
    found = _read_messages(named)
    if status == "unset" and raised:
        found |= {CAUGHT_TYPE: kind or "error", CAUGHT_MESSAGE: text}
    failed = status == "error"
    return {
        "error": (message or text or "failed") if failed else None,
        "error_type": kind if failed else "",
        # The span's own come first, because attributes beyond a limit are dropped.
        "attributes": {**attributes, **{k: v for k, v in found.items() if k not in attributes}},
    }


def _read_messages(events: Iterable[SpanEvent]) -> dict[str, Any]:
    """Return what the events of the GenAI conventions, old and new, say of input and output."""
    details: dict[str, Any] = {}
    asked: list[Any] = []
    answered: list[Any] = []
    for name, values in events:
        if name == _OPERATION_DETAILS:
            details |= values
        elif name in ("gen_ai.choice", "gen_ai.content.completion"):
            answered.append(_content_of(values))
        elif name.startswith("gen_ai.") and name.endswith((".message", ".prompt")):
            role = name.removeprefix("gen_ai.").removesuffix(".message")
            asked.append({"role": role, "content": _content_of(values)})
    if asked:
        # The span of a tool has one message to the tool: its arguments.
        is_call = [message["role"] for message in asked] == ["tool"]
        details[EVENT_INPUT] = asked[0]["content"] if is_call else asked
    if answered:
        details[EVENT_OUTPUT] = answered[0] if len(answered) == 1 else answered
    return details


def _content_of(values: Mapping[str, Any]) -> Any:
    names = ("content", "message", "gen_ai.event.content", "gen_ai.prompt", "gen_ai.completion")
    return next((values[name] for name in names if values.get(name)), dict(values))
