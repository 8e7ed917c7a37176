"""Chat completions, with their spelling of usage and tool calls, turned into evalkit's own replies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress

from evalkit.core.literals import Json

INPUT_TOKEN_KEYS = ("input_tokens", "prompt_tokens")
NO_ANSWER_REASONS = ("length", "content_filter")
OUTPUT_TOKEN_KEYS = ("output_tokens", "completion_tokens")


class NoAnswer(Exception):
    """A completion holds no answer; the message says what it holds instead."""


def read_completion(reply: Json) -> Json:
    """The first choice of a chat completion as the mapping that any agent may return.

    A refusal is an answer, and so is a tool call. A model that was cut off before its first word has
    given none.

    Raises:
        NoAnswer: there is no choice, or nothing in it.
    """
    choices = reply.get("choices") if isinstance(reply, Mapping) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
        raise NoAnswer("no chat completion: there is no message in 'choices'")
    finish_reason = choice.get("finish_reason")
    text = _first_present(message, ("content", "refusal"))
    calls = parse_tool_calls(message.get("tool_calls"))
    if not calls and (text is None or (text == "" and finish_reason in NO_ANSWER_REASONS)):
        raise NoAnswer(
            f"no answer: the model stopped without a word (finish_reason {finish_reason!r})"
        )
    metadata = {key: reply.get(key) for key in ("model", "system_fingerprint")}
    metadata["finish_reason"] = finish_reason
    return {
        "output": text or "",
        "tool_calls": calls,
        "usage": parse_usage(reply.get("usage")) or None,
        "metadata": {key: value for key, value in metadata.items() if value is not None},
    }


def parse_usage(value: Json) -> Json:
    """Tokens in and out, by the first name that is there; anything but a mapping stays as it is."""
    if not isinstance(value, Mapping):
        return value
    tokens = {
        "input_tokens": _first_present(value, INPUT_TOKEN_KEYS),
        "output_tokens": _first_present(value, OUTPUT_TOKEN_KEYS),
    }
    return {key: count for key, count in tokens.items() if count is not None}


def _first_present(value: Mapping[str, Json], keys: tuple[str, ...]) -> Json:
    return next((value[key] for key in keys if value.get(key) is not None), None)


def parse_tool_calls(value: Json) -> Json:
    """Calls spelled `{"function": {"name", "arguments"}}`, with arguments as text, made plain."""
    return [_parse_tool_call(call) for call in value] if isinstance(value, list) else value


def _parse_tool_call(call: Json) -> Json:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        return call
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        # The model wrote them: what is no JSON is kept as it stands.
        with suppress(ValueError, RecursionError):
            arguments = json.loads(arguments)
    return {"name": function.get("name"), "arguments": arguments}
