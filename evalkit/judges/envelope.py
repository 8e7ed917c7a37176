"""The bytes of a chat completion, turned into what the model said and what it took; nothing is trusted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.agents.openai_client import Trouble, error_in
from evalkit.agents.received import NotJson, decode_text, read_json
from evalkit.caps import MAX_DETAIL
from evalkit.judges.prices import Usage
from evalkit.records import AgentError, Json
from evalkit.text import head, one_line

VERDICT_TOOL = "give_verdict"
LONGEST_NAME = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """What one completion holds; `text` is the content, or the arguments of the call that was asked for."""

    text: str
    finish_reason: str
    refusal: str
    model: str
    fingerprint: str
    usage: Usage


def read_envelope(received: bytes, server: str) -> Envelope:
    """What is in a reply of success.

    Several choices, or several calls, are given as one text, so that it is seen that there were several.

    Raises:
        Trouble: it is no chat completion.
    """
    text = decode_text(received)[0]
    try:
        reply = read_json(text)
    except NotJson as wrong:
        raise _bad_reply(f"{server} sent {wrong}", text) from None
    choices = reply.get("choices") if isinstance(reply, Mapping) else None
    if not isinstance(reply, Mapping) or not isinstance(choices, list) or not choices:
        if error_in(reply):
            raise _error_within(reply, server, text)
        raise _bad_reply(f"{server} sent no chat completion: there is nothing in 'choices'", text)
    messages = [_message_of(choice) for choice in choices]
    if any(message is None for message in messages):
        raise _bad_reply(f"{server} sent no chat completion: a choice has no message", text)
    said = [part for message in messages if message for part in _said(message, server, text)]
    return Envelope(
        text="\n".join(said),
        finish_reason=_first_text(choice.get("finish_reason") for choice in choices) or "stop",
        refusal=_first_text(message.get("refusal") for message in messages if message),
        model=_name(reply.get("model")),
        fingerprint=_name(reply.get("system_fingerprint")),
        usage=_read_usage(reply.get("usage")),
    )


def _message_of(choice: Json) -> Mapping[str, Any] | None:
    message = choice.get("message") if isinstance(choice, Mapping) else None
    return message if isinstance(message, Mapping) else None


def _said(message: Mapping[str, Any], server: str, reply: str) -> Iterator[str]:
    """The arguments of every call of the one tool there was, or else the content."""
    calls = message.get("tool_calls")
    found = [*_arguments(calls if isinstance(calls, list) else ())]
    if found:
        yield from found
        return
    content = message.get("content")
    if isinstance(content, str):
        yield content
    elif isinstance(content, list) and all(_is_text_part(part) for part in content):
        yield "".join(part["text"] for part in content)
    elif content is not None:
        raise _bad_reply(f"{server} sent a message whose content is no text", reply)


def _arguments(calls: Sequence[Json]) -> Iterator[str]:
    for call in calls:
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping) and function.get("name") == VERDICT_TOOL:
            arguments = function.get("arguments")
            yield arguments if isinstance(arguments, str) else json.dumps(arguments)


def _is_text_part(part: Json) -> bool:
    is_text = isinstance(part, Mapping) and part.get("type") == "text"
    return is_text and isinstance(part.get("text"), str)


def _read_usage(value: Json) -> Usage:
    usage = value if isinstance(value, Mapping) else {}
    details = usage.get("prompt_tokens_details")
    return Usage(
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        cached_tokens=_count(details.get("cached_tokens") if isinstance(details, Mapping) else 0),
    )


def _count(value: Json) -> int:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return value if is_count and 0 <= value < 1 << 40 else 0


def _first_text(values: Iterator[Json]) -> str:
    return next((value for value in values if isinstance(value, str) and value), "")


def _name(value: Json) -> str:
    return one_line(value, LONGEST_NAME) if isinstance(value, str) else ""


def _bad_reply(message: str, reply: str) -> Trouble:
    # Gateways send such things in passing: it is worth another attempt.
    error = AgentError(
        kind="bad_reply", message=f"{message}.", detail=head(reply, MAX_DETAIL), retryable=True
    )
    return Trouble(error)


def _error_within(reply: Mapping[str, Any], server: str, text: str) -> Trouble:
    """The error that some gateways send under the status of success."""
    code = error_in(reply).get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 0
    error = AgentError(
        kind="rate_limited" if status == 429 else "bad_reply",
        message=f"{server} sent an error in place of a completion.",
        detail=head(text, MAX_DETAIL),
        retryable=status in (0, 429) or status >= 500,
    )
    return Trouble(error, status, reply)
