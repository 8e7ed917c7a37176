"""The bytes of a chat completion, turned into what the model said and what it took; nothing is trusted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.agents.openai_client import ChatRequestError, find_error
from evalkit.agents.reply_text import NotJson, decode_text, read_json
from evalkit.core.limits import MAX_DETAIL_CHARS
from evalkit.core.literals import Json
from evalkit.core.safe_text import head, one_line
from evalkit.core.trial import AgentError
from evalkit.judge.prices import TokenCounts

VERDICT_TOOL = "give_verdict"
MAX_MODEL_NAME_LENGTH = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedCompletion:
    """What one completion holds; `text` is the content, or the arguments of the call that was asked for."""

    text: str
    finish_reason: str
    refusal: str
    model: str
    fingerprint: str
    usage: TokenCounts


def parse_completion(received: bytes, server: str) -> ParsedCompletion:
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
        if find_error(reply):
            raise _embedded_error(reply, server, text)
        raise _bad_reply(f"{server} sent no chat completion: there is nothing in 'choices'", text)
    messages = [_get_message(choice) for choice in choices]
    if any(message is None for message in messages):
        raise _bad_reply(f"{server} sent no chat completion: a choice has no message", text)
    said = [
        part for message in messages if message for part in _iter_reply_texts(message, server, text)
    ]
    return ParsedCompletion(
        text="\n".join(said),
        finish_reason=_first_text(choice.get("finish_reason") for choice in choices) or "stop",
        refusal=_first_text(message.get("refusal") for message in messages if message),
        model=_clean_name(reply.get("model")),
        fingerprint=_clean_name(reply.get("system_fingerprint")),
        usage=_read_usage(reply.get("usage")),
    )


def _get_message(choice: Json) -> Mapping[str, Any] | None:
    message = choice.get("message") if isinstance(choice, Mapping) else None
    return message if isinstance(message, Mapping) else None


def _iter_reply_texts(message: Mapping[str, Any], server: str, reply: str) -> Iterator[str]:
    """The arguments of every call of the one tool there was, or else the content."""
    calls = message.get("tool_calls")
    found = [*_iter_tool_arguments(calls if isinstance(calls, list) else ())]
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


def _iter_tool_arguments(calls: Sequence[Json]) -> Iterator[str]:
    for call in calls:
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping) and function.get("name") == VERDICT_TOOL:
            arguments = function.get("arguments")
            yield arguments if isinstance(arguments, str) else json.dumps(arguments)


def _is_text_part(part: Json) -> bool:
    is_text = isinstance(part, Mapping) and part.get("type") == "text"
    return is_text and isinstance(part.get("text"), str)


def _read_usage(value: Json) -> TokenCounts:
    usage = value if isinstance(value, Mapping) else {}
    details = usage.get("prompt_tokens_details")
    return TokenCounts(
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        cached_tokens=_count(details.get("cached_tokens") if isinstance(details, Mapping) else 0),
    )


def _count(value: Json) -> int:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return value if is_count and 0 <= value < 1 << 40 else 0


def _first_text(values: Iterator[Json]) -> str:
    return next((value for value in values if isinstance(value, str) and value), "")


def _clean_name(value: Json) -> str:
    return one_line(value, MAX_MODEL_NAME_LENGTH) if isinstance(value, str) else ""


def _bad_reply(message: str, reply: str) -> ChatRequestError:
    # Gateways send such things in passing: it is worth another attempt.
    error = AgentError(
        kind="bad_reply",
        message=f"{message}.",
        detail=head(reply, MAX_DETAIL_CHARS),
        retryable=True,
    )
    return ChatRequestError(error)


def _embedded_error(reply: Mapping[str, Any], server: str, text: str) -> ChatRequestError:
    """The error that some gateways send under the status of success."""
    code = find_error(reply).get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 0
    error = AgentError(
        kind="rate_limited" if status == 429 else "bad_reply",
        message=f"{server} sent an error in place of a completion.",
        detail=head(text, MAX_DETAIL_CHARS),
        retryable=status in (0, 429) or status >= 500,
    )
    return ChatRequestError(error, status, reply)
