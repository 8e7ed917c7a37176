"""Parse chat completions, for the `openai` agent and the `openai` judge.

The replies of other agents may have token counts and tool calls in the same format.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from evalkit.core.literals import Json
from evalkit.core.safe_text import one_line

INPUT_TOKEN_KEYS = ("input_tokens", "prompt_tokens")
OUTPUT_TOKEN_KEYS = ("output_tokens", "completion_tokens")
MAX_NAME_LENGTH = 200
MAX_TOKEN_COUNT = 1 << 40  # far above any context window; larger counts are invalid


class BadCompletion(Exception):
    """The reply is not a chat completion; the message says what it is instead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompletionChoice:
    """One choice of a completion. `tool_calls` is as the endpoint sent it, unchecked."""

    text: str | None
    refusal: str | None
    tool_calls: Json
    finish_reason: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatCompletion:
    """A chat completion with at least one choice.

    `model` and `fingerprint` are empty if the endpoint sent none. `usage` is as the endpoint sent it,
    unchecked. `source` is the text of the whole reply, and `flags` say how its bytes were changed.
    `first_token_s` is the time until the text of a stream began, in seconds.
    """

    choices: tuple[CompletionChoice, ...]
    model: str
    fingerprint: str
    usage: Json
    source: str = ""
    flags: tuple[str, ...] = ()
    first_token_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenCounts:
    """The tokens of one call. `cached_tokens` are part of the input tokens, and may be cheaper."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0


def parse_completion(reply: Json) -> ChatCompletion:
    """Return the completion in the JSON of a reply.

    Raises:
        BadCompletion: the reply has no choice, a choice has no message, or a content is not text.
    """
    choices = reply.get("choices") if isinstance(reply, Mapping) else None
    if not isinstance(reply, Mapping) or not isinstance(choices, list) or not choices:
        raise BadCompletion("no chat completion: there is no message in 'choices'")
    return ChatCompletion(
        choices=tuple(map(_parse_choice, choices)),
        model=_read_name(reply.get("model")),
        fingerprint=_read_name(reply.get("system_fingerprint")),
        usage=reply.get("usage"),
    )


def _parse_choice(choice: Json) -> CompletionChoice:
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
        raise BadCompletion("no chat completion: there is no message in 'choices'")
    calls = message.get("tool_calls")
    try:
        text = _read_content(message.get("content"))
    except BadCompletion:
        # A tool call is a valid reply, even with unreadable content.
        if not isinstance(calls, list) or not calls:
            raise
        text = None
    return CompletionChoice(
        text=text,
        refusal=_text_or_none(message.get("refusal")),
        tool_calls=calls,
        finish_reason=_text_or_none(choice.get("finish_reason")),
    )


def _read_content(content: Json) -> str | None:
    if content is None or isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    # If a part has no text (an image, a thinking part), the whole content is unreadable: the other
    # parts alone would be a different answer.
    texts = [
        part["text"]
        for part in parts
        if isinstance(part, Mapping)
        and part.get("type") == "text"
        and isinstance(part.get("text"), str)
    ]
    if len(texts) < len(parts):
        raise BadCompletion("a message whose content is not text")
    return "".join(texts)


def _text_or_none(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _read_name(value: Json) -> str:
    return one_line(value, MAX_NAME_LENGTH) if isinstance(value, str) else ""


def parse_usage(value: Json) -> Json:
    """Return the input and output tokens under evalkit's names; return anything but a mapping unchanged."""
    if not isinstance(value, Mapping):
        return value
    tokens = {
        "input_tokens": _first_present(value, INPUT_TOKEN_KEYS),
        "output_tokens": _first_present(value, OUTPUT_TOKEN_KEYS),
    }
    return {key: count for key, count in tokens.items() if count is not None}


def _first_present(value: Mapping[str, Json], keys: tuple[str, ...]) -> Json:
    return next((value[key] for key in keys if value.get(key) is not None), None)


def count_tokens(usage: Json) -> TokenCounts:
    """Return the tokens of a usage; a count that is missing or not plausible is 0."""
    usage = usage if isinstance(usage, Mapping) else {}
    tokens = {**parse_usage(usage)}
    details = usage.get("prompt_tokens_details")
    if isinstance(details, Mapping):
        tokens["cached_tokens"] = details.get("cached_tokens")
    return TokenCounts(**{key: count for key, count in tokens.items() if _is_token_count(count)})


def _is_token_count(value: Json) -> bool:
    return type(value) is int and 0 <= value < MAX_TOKEN_COUNT  # `type`, because True is an int


def parse_tool_calls(value: Json) -> Json:
    """Return calls of the form `{"function": {"name", "arguments"}}` in evalkit's own format."""
    return [_parse_tool_call(call) for call in value] if isinstance(value, list) else value


def _parse_tool_call(call: Json) -> Json:
    function = _get_function(call)
    if function is None:
        return call
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        # The model wrote the arguments: text that is not JSON is kept as it is.
        with suppress(ValueError, RecursionError):
            arguments = json.loads(arguments)
    return {"name": function.get("name"), "arguments": arguments}


def iter_tool_arguments(tool_calls: Json, name: str) -> Iterator[str]:
    """Yield the arguments of each call of one tool, as the text that the model wrote."""
    for call in tool_calls if isinstance(tool_calls, list) else ():
        function = _get_function(call)
        if function is not None and function.get("name") == name:
            arguments = function.get("arguments")
            yield arguments if isinstance(arguments, str) else json.dumps(arguments)


def _get_function(call: Json) -> Mapping[str, Json] | None:
    function = call.get("function") if isinstance(call, Mapping) else None
    return function if isinstance(function, Mapping) else None
