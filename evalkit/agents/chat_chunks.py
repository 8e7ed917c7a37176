"""Join the chunks of a streamed chat completion into the completion that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.agents.json_fields import (
    JsonObject,
    as_object,
    as_text,
    find_last,
    first_object,
    iter_objects,
)
from evalkit.core.literals import Json


def read_chunk_text(chunk: JsonObject) -> str:
    """Return the text that a chunk adds to the first choice."""
    choice, delta = first_object(chunk.get("choices")), _read_delta(chunk)
    if choice.get("index") not in (0, None):
        return ""
    content = delta.get("content")
    parts = "".join(as_text(part.get("text")) for part in iter_objects(content))
    return as_text(content) or parts or as_text(delta.get("refusal")) or as_text(choice.get("text"))


def ends_choice(chunk: JsonObject) -> bool:
    """Return whether a chunk says why the model stopped."""
    return bool(first_object(chunk.get("choices")).get("finish_reason"))


def join_chunks(events: Sequence[JsonObject]) -> Json:
    """Return the completion, with one choice, that the chunks of a stream make."""
    chunks = [
        each for each in events if first_object(each.get("choices")).get("index") in (0, None)
    ]
    choices = [first_object(chunk.get("choices")) for chunk in chunks]
    message = {
        "role": "assistant",
        "content": _join_contents([_read_delta(chunk).get("content") for chunk in chunks], choices),
        "refusal": "".join(as_text(_read_delta(chunk).get("refusal")) for chunk in chunks) or None,
        "tool_calls": _join_calls(chunks) or None,
    }
    reasons = [choice.get("finish_reason") for choice in choices]
    reason = next(filter(None, reversed(reasons)), None)
    return {
        "choices": [{"message": message, "finish_reason": reason}],
        "model": find_last(events, "model"),
        "system_fingerprint": find_last(events, "system_fingerprint"),
        "usage": find_last(events, "usage") or find_last(events, "x_groq", "usage"),
    }


def _read_delta(chunk: JsonObject) -> JsonObject:
    choice = first_object(chunk.get("choices"))
    # Some servers send whole messages as the only chunk.
    return as_object(choice.get("delta")) or as_object(choice.get("message"))


def _join_contents(contents: Sequence[Json], choices: Sequence[JsonObject]) -> Json:
    """Return the content as text, or as a list of parts where a chunk has one; None if there is none."""
    texts = [text for text in contents if isinstance(text, str)]
    texts += [choice["text"] for choice in choices if isinstance(choice.get("text"), str)]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    if not parts:
        return "".join(texts) if texts else None
    return [*({"type": "text", "text": text} for text in texts if text), *parts]


def _join_calls(chunks: Sequence[JsonObject]) -> list[Json]:
    """Return whole tool calls: the name comes first, then the arguments in pieces.

    A call is known by its index; servers without indexes repeat the id, or send each call in one piece.
    """
    calls: dict[str, dict[str, Any]] = {}
    key = "0"
    for chunk in chunks:
        for delta in iter_objects(_read_delta(chunk).get("tool_calls")):
            function = as_object(delta.get("function"))
            if isinstance(delta.get("index"), int):
                key = str(delta["index"])
            elif delta.get("id") or (function.get("name") and calls):
                key = f"id {delta.get('id') or len(calls)}"
            empty = {"id": None, "type": "function", "function": {"name": "", "arguments": ""}}
            call = calls.setdefault(key, empty)
            call["id"] = call["id"] or delta.get("id")
            whole = call["function"]
            whole["name"] = whole["name"] or function.get("name") or ""
            arguments = function.get("arguments")
            if isinstance(arguments, Mapping):  # in one piece, as JSON
                whole["arguments"] = arguments
            elif isinstance(whole["arguments"], str):
                whole["arguments"] += as_text(arguments)
    return list(calls.values())
