"""Parse chat completions, for the `openai` agent and the `openai` judge.

The replies of other agents may have token counts and tool calls in the same format.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeGuard

from evalkit.agents.chat_content import (
    Finish,
    MessageContent,
    UnreadableContent,
    classify_finish,
    join_reasoning,
    read_content,
)
from evalkit.agents.json_fields import parse_if_json
from evalkit.core.literals import Json
from evalkit.core.prices import TokenCounts
from evalkit.core.safe_text import one_line

INPUT_TOKEN_KEYS = ("input_tokens", "prompt_tokens")
OUTPUT_TOKEN_KEYS = ("output_tokens", "completion_tokens")
ANTHROPIC_CACHE_KEYS = ("cache_read_input_tokens", "cache_creation_input_tokens")
# The names of OpenAI, Anthropic, and DeepSeek.
CACHED_TOKEN_KEYS = ("cached_tokens", ANTHROPIC_CACHE_KEYS[0], "prompt_cache_hit_tokens")
CACHE_WRITE_KEYS = ("cache_write_tokens", ANTHROPIC_CACHE_KEYS[1])
MAX_NAME_LENGTH = 200
MAX_COST_USD = 1e6  # of one call; a higher cost is invalid
MAX_TOKEN_COUNT = 1 << 40  # far above any context window; larger counts are invalid


class BadCompletion(Exception):
    """The reply is not a chat completion; the message says what it is instead.

    `is_paid` is set if the model has answered, so that another attempt costs as much again.
    """

    def __init__(self, message: str, *, is_paid: bool = False) -> None:
        super().__init__(message)
        self.is_paid = is_paid


@dataclass(frozen=True, kw_only=True, slots=True)
class CompletionChoice:
    """One choice of a completion. `tool_calls` is as the endpoint sent it, unchecked.

    `finish_reason` is the endpoint's word, and `native_finish_reason` the one that a gateway quotes.
    `reasoning` are the model's thoughts, which are not part of `text`.
    """

    text: str | None
    refusal: str | None
    tool_calls: Json
    finish_reason: str | None
    native_finish_reason: str | None = None
    reasoning: str = ""

    @property
    def finish(self) -> Finish:
        """How the choice ended."""
        return classify_finish(self.finish_reason, self.native_finish_reason)

    @property
    def is_empty(self) -> bool:
        """Whether the choice has neither text, nor a refusal, nor a call."""
        return not (self.text or self.refusal or self.tool_calls)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatCompletion:
    """A chat completion with at least one choice.

    `model` and `fingerprint` are empty if the endpoint sent none. `usage` is as the endpoint sent it,
    unchecked. `source` is the text of the whole reply, and `flags` say how its bytes were changed.
    `error` is an error object that the endpoint sent beside the choices, or None. `first_token_s` is the
    time until the text of a stream began, in seconds.
    """

    choices: tuple[CompletionChoice, ...]
    model: str
    fingerprint: str
    usage: Json
    source: str = ""
    flags: tuple[str, ...] = ()
    error: Json = None
    first_token_s: float | None = None


def parse_completion(reply: Json) -> ChatCompletion:
    """Return the completion in the JSON of a reply.

    Raises:
        BadCompletion: the reply has no choice, a choice has no message, a content is not text, or there
            is nothing but an error.
    """
    choices = reply.get("choices") if isinstance(reply, Mapping) else None
    if not isinstance(reply, Mapping) or not isinstance(choices, list) or not choices:
        raise BadCompletion("no chat completion: there is no message in 'choices'")
    error = _find_error(reply, *choices)
    parsed = tuple(_parse_choice(choice, has_error=bool(error)) for choice in choices)
    if error and all(choice.is_empty for choice in parsed):
        raise BadCompletion("an error in place of a completion")
    return ChatCompletion(
        choices=parsed,
        model=_read_name(reply.get("model")),
        fingerprint=_read_name(reply.get("system_fingerprint")),
        usage=reply.get("usage"),
        error=error,
    )


def _find_error(*places: Json) -> Json:
    """Return the error of a reply, of a choice, or of its message; None if there is none."""
    found = [place for place in places if isinstance(place, Mapping)]
    messages = [message for place in found if isinstance(message := place.get("message"), Mapping)]
    errors = (place.get(key) for place in (*found, *messages) for key in ("error", "errors"))
    return next(filter(None, errors), None)


def find_reply_error(reply: Json) -> Json:
    """Return the object of a reply in which its error is: the reply itself, or one of its choices."""
    choices = reply.get("choices") if isinstance(reply, Mapping) else None
    places = (reply, *(choices if isinstance(choices, list) else ()))
    return next((place for place in places if _find_error(place)), reply)


def _parse_choice(choice: Json, *, has_error: bool) -> CompletionChoice:
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if isinstance(choice, Mapping) and message is None and has_error:
        message = {}
    if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
        raise BadCompletion("no chat completion: there is no message in 'choices'")
    calls = message.get("tool_calls")
    if isinstance(legacy := message.get("function_call"), Mapping):
        calls = [*(calls if isinstance(calls, list) else ()), {"function": legacy}]
    try:
        content = read_content(message.get("content"))
    except UnreadableContent:
        # A tool call is a valid reply, even with unreadable content.
        if not isinstance(calls, list) or not calls:
            raise BadCompletion("a message whose content is not text", is_paid=True) from None
        content = MessageContent()
    if content.tool_calls:
        calls = [*(calls if isinstance(calls, list) else ()), *content.tool_calls]
    thoughts = (message.get(key) for key in ("reasoning_content", "reasoning", "thinking"))
    return CompletionChoice(
        text=content.text,
        refusal=_text_or_none(message.get("refusal")) or content.refusal or None,
        tool_calls=calls,
        finish_reason=_read_reason(choice.get("finish_reason")),
        native_finish_reason=_read_reason(
            choice.get("native_finish_reason", choice.get("stop_reason"))
        ),
        reasoning=content.reasoning or join_reasoning(thoughts),
    )


def _text_or_none(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _read_reason(value: Json) -> str | None:
    """Return a finish reason; one that is not a text is no known reason either."""
    return (
        value if value is None or isinstance(value, str) else one_line(repr(value), MAX_NAME_LENGTH)
    )


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
    if _is_token_count(tokens["input_tokens"]) and "prompt_tokens" not in value:
        # Anthropic counts the tokens that it read from its cache, or wrote to it, beside the others.
        counts = [value.get(key) for key in ANTHROPIC_CACHE_KEYS]
        tokens["input_tokens"] += sum(count for count in counts if _is_token_count(count))
    return {key: count for key, count in tokens.items() if count is not None}


def _first_present(value: Mapping[str, Json], keys: tuple[str, ...]) -> Json:
    return next((value[key] for key in keys if value.get(key) is not None), None)


def count_tokens(usage: Json) -> TokenCounts:
    """Return the tokens of a usage; a count that is missing or not plausible is 0."""
    usage = usage if isinstance(usage, Mapping) else {}
    details = usage.get("prompt_tokens_details")
    # Gateways to Anthropic report cached tokens both in the details and beside them.
    cache = {**usage, **(details if isinstance(details, Mapping) else {})}
    counts = {
        **parse_usage(usage),
        "cached_tokens": _first_present(cache, CACHED_TOKEN_KEYS),
        "cache_write_tokens": _first_present(cache, CACHE_WRITE_KEYS),
    }
    tokens = TokenCounts(**{key: count for key, count in counts.items() if _is_token_count(count)})
    return replace(tokens, reported_cost_usd=_read_cost(usage.get("cost")))


def keep_token_counts(usage: Json) -> dict[str, int]:
    """Return the plausible counts of a usage under evalkit's names, without the others."""
    counts = parse_usage(usage) if isinstance(usage, Mapping) else {}
    return {key: count for key, count in counts.items() if _is_token_count(count)}


def _is_token_count(value: Json) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < MAX_TOKEN_COUNT  # `type`, because True is an int


def _read_cost(value: Json) -> float | None:
    is_cost = type(value) in (int, float) and 0 <= value < MAX_COST_USD
    return float(value) if is_cost else None


def parse_tool_calls(value: Json) -> Json:
    """Return calls of the form `{"function": {"name", "arguments"}}` in evalkit's own format."""
    return [_parse_tool_call(call) for call in value] if isinstance(value, list) else value


def _parse_tool_call(call: Json) -> Json:
    function = _get_function(call)
    if function is None:
        return call
    # The model wrote the arguments: text that is not JSON is kept as it is.
    return {"name": function.get("name"), "arguments": parse_if_json(function.get("arguments"))}


def iter_tool_arguments(tool_calls: Json, name: str) -> Iterator[str]:
    """Yield the arguments of each call of one tool, as the text that the model wrote."""
    for call in tool_calls if isinstance(tool_calls, list) else ():
        function = _get_function(call)
        if function is not None and function.get("name") == name:
            arguments = function.get("arguments")
            yield arguments if isinstance(arguments, str) else json.dumps(arguments)


def iter_tool_names(tool_calls: Json) -> Iterator[str]:
    """Yield the name of each tool that is called."""
    for call in tool_calls if isinstance(tool_calls, list) else ():
        function = _get_function(call)
        if function is not None:
            yield str(function.get("name"))


def _get_function(call: Json) -> Mapping[str, Json] | None:
    function = call.get("function") if isinstance(call, Mapping) else None
    return function if isinstance(function, Mapping) else None
