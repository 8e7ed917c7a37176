"""The streams of common APIs: the text of an event, the last event, and the reply that all events make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.agents.chat_chunks import ends_choice, read_chunk_text
from evalkit.agents.chat_stream import join_chunks
from evalkit.agents.json_fields import (
    JsonObject,
    as_object,
    as_text,
    find_last,
    first_object,
    iter_objects,
    parse_if_json,
)
from evalkit.core.literals import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamFormat:
    """One format of events that are JSON objects.

    `matches` is true only for events of this format. `read_piece` returns the text that an event adds to
    the answer. `join` returns the whole reply as the API gives it without streaming, or as an agent
    returns it. `ends` says whether the answer is complete with an event; a stream without such an event
    was cut. `is_last` says whether nothing follows an event.
    """

    matches: Callable[[JsonObject], bool]
    read_piece: Callable[[JsonObject], str]
    join: Callable[[Sequence[JsonObject]], Json]
    ends: Callable[[JsonObject], bool]
    is_last: Callable[[JsonObject], bool] = lambda _: False


# OpenAI's responses


def _response_piece(event: JsonObject) -> str:
    is_text = event.get("type") in ("response.output_text.delta", "response.refusal.delta")
    return as_text(event.get("delta")) if is_text else ""


def _join_response(events: Sequence[JsonObject]) -> Json:
    response = as_object(find_last(events, "response"))
    if response.get("output"):
        return {**response, "object": "response"}
    items = [event.get("item") for event in events if event.get("type") == _ITEM_DONE]
    calls = [item for item in iter_objects(items) if item.get("type") == "function_call"]
    text = "".join(map(_response_piece, events))
    message = {"type": "message", "content": [{"type": "output_text", "text": text}]}
    return {**response, "object": "response", "output": [message, *calls]}


_ITEM_DONE = "response.output_item.done"
_RESPONSE_ENDS = ("response.completed", "response.incomplete", "response.failed")


# Anthropic's messages


def _message_piece(event: JsonObject) -> str:
    is_delta = event.get("type") == "content_block_delta"
    return as_text(as_object(event.get("delta")).get("text")) if is_delta else ""


def _join_message(events: Sequence[JsonObject]) -> Json:
    blocks: dict[str, dict[str, Any]] = {}
    for event in events:
        key = str(event.get("index"))
        if event.get("type") == "content_block_start":
            blocks[key] = {**as_object(event.get("content_block")), "pieces": ""}
        elif event.get("type") == "content_block_delta":
            delta = as_object(event.get("delta"))
            block = blocks.setdefault(key, {"type": "text", "pieces": ""})
            block["pieces"] += as_text(delta.get("text")) or as_text(delta.get("partial_json"))
    usage = as_object(find_last(events, "usage"))
    return {
        "type": "message",
        "content": list(map(_join_block, blocks.values())),
        "model": find_last(events, "message", "model"),
        "usage": {
            **as_object(find_last(events, "message", "usage")),
            **{key: count for key, count in usage.items() if count is not None},
        },
        "stop_reason": find_last(events, "delta", "stop_reason"),
    }


def _join_block(block: JsonObject) -> Json:
    if block.get("type") == "tool_use":
        arguments = parse_if_json(block["pieces"]) if block["pieces"] else block.get("input")
        return {"type": "tool_use", "name": block.get("name"), "input": arguments}
    if block.get("type") == "text":
        return {"type": "text", "text": as_text(block.get("text")) + block["pieces"]}
    return {"type": block.get("type")}  # such as a thinking block


# Gemini's candidates


def _list_parts(event: JsonObject) -> list[JsonObject]:
    content = as_object(first_object(event.get("candidates")).get("content"))
    return list(iter_objects(content.get("parts")))


def _candidate_piece(event: JsonObject) -> str:
    parts = [part for part in _list_parts(event) if not part.get("thought")]
    return "".join(as_text(part.get("text")) for part in parts)


def _join_candidates(events: Sequence[JsonObject]) -> Json:
    candidates = [first_object(event.get("candidates")) for event in events]
    whole = {
        "content": {"parts": [part for event in events for part in _list_parts(event)]},
        "finishReason": find_last(candidates, "finishReason"),
    }
    return {
        "candidates": [whole],
        "modelVersion": find_last(events, "modelVersion"),
        "usageMetadata": find_last(events, "usageMetadata"),
    }


# Ollama's own API


def _ollama_piece(event: JsonObject) -> str:
    return as_text(as_object(event.get("message")).get("content")) or as_text(event.get("response"))


def _join_ollama(events: Sequence[JsonObject]) -> Json:
    messages = [as_object(event.get("message")) for event in events]
    message = {
        "content": "".join(map(_ollama_piece, events)),
        "tool_calls": [call for each in messages for call in iter_objects(each.get("tool_calls"))],
    }
    return {**events[-1], "message": message, "done": True}


# Events with a type: Vercel's AI SDK, and AG-UI

_TEXT_KEYS = {
    "text-delta": ("delta", "textDelta", "text"),
    "TEXT_MESSAGE_CONTENT": ("delta",),
    "TEXT_MESSAGE_CHUNK": ("delta",),
}
_RESULT_TYPES = ("tool-output-available", "tool-result", "TOOL_CALL_RESULT")


def _typed_piece(event: JsonObject) -> str:
    keys = _TEXT_KEYS.get(as_text(event.get("type")), ())
    return next((text for key in keys if (text := as_text(event.get(key)))), "")


def _join_typed(events: Sequence[JsonObject]) -> Json:
    calls: dict[str, dict[str, Any]] = {}
    for event in events:
        kind, key = event.get("type"), str(event.get("toolCallId"))
        if kind == "TOOL_CALL_START":
            calls[key] = {"name": event.get("toolCallName"), "arguments": ""}
        elif kind == "TOOL_CALL_ARGS" and isinstance(calls.get(key, {}).get("arguments"), str):
            calls[key]["arguments"] += as_text(event.get("delta"))
        elif kind in ("tool-input-available", "tool-call"):
            arguments = event.get("input", event.get("args"))
            calls[key] = {"name": event.get("toolName"), "arguments": arguments}
        elif kind in _RESULT_TYPES and key in calls:
            results = [event.get(name) for name in ("output", "result", "content")]
            calls[key]["result"] = next((each for each in results if each is not None), None)
    usages = [find_last(events, *keys) for keys in (("usage",), ("messageMetadata", "usage"))]
    return {
        "output": "".join(map(_typed_piece, events)),
        "tool_calls": [
            {**call, "arguments": parse_if_json(call["arguments"])} for call in calls.values()
        ]
        or None,
        "usage": next((usage for usage in usages if isinstance(usage, Mapping)), None),
        "finish_reason": as_text(find_last(events, "finishReason")) or None,
    }


_DATA_STREAM_TYPES = {
    "0": ("text-delta", "delta"),
    "3": ("error", "errorText"),
    "9": ("tool-call", ""),
    "a": ("tool-result", ""),
    "d": ("finish", ""),
}
"""The codes of the data stream protocol of AI SDK 4, and the events of AI SDK 5 that say the same."""


def read_object(name: str, value: Json) -> JsonObject:
    """Return the JSON object of an event with this name; an empty one if it has none."""
    if len(name) == 1 and name in _DATA_STREAM_TYPES:
        kind, key = _DATA_STREAM_TYPES[name]
        return {"type": kind, **({key: value} if key else as_object(value))}
    return as_object(value)


def _has_type(*kinds: str) -> Callable[[JsonObject], bool]:
    return lambda event: event.get("type") in kinds


FORMATS: Mapping[str, StreamFormat] = {
    "openai": StreamFormat(
        matches=lambda event: isinstance(event.get("choices"), list),
        read_piece=read_chunk_text,
        join=join_chunks,
        ends=ends_choice,
    ),
    "openai_responses": StreamFormat(
        matches=lambda event: as_text(event.get("type")).startswith("response."),
        read_piece=_response_piece,
        join=_join_response,
        ends=_has_type(*_RESPONSE_ENDS),
        is_last=_has_type(*_RESPONSE_ENDS),
    ),
    "anthropic": StreamFormat(
        matches=_has_type("message_start", "content_block_start", "content_block_delta"),
        read_piece=_message_piece,
        join=_join_message,
        ends=lambda event: bool(as_object(event.get("delta")).get("stop_reason")),
        is_last=_has_type("message_stop"),
    ),
    "gemini": StreamFormat(
        matches=lambda event: isinstance(event.get("candidates"), list),
        read_piece=_candidate_piece,
        join=_join_candidates,
        ends=lambda event: bool(first_object(event.get("candidates")).get("finishReason")),
    ),
    "ollama": StreamFormat(
        matches=lambda event: (
            isinstance(event.get("done"), bool)
            and isinstance(event.get("message", event.get("response")), str | Mapping)
        ),
        read_piece=_ollama_piece,
        join=_join_ollama,
        ends=lambda event: event.get("done") is True,
        is_last=lambda event: event.get("done") is True and "done_reason" in event,
    ),
    "ai_sdk": StreamFormat(
        matches=_has_type("text-delta", "text-start", "tool-input-available", "tool-call"),
        read_piece=_typed_piece,
        join=_join_typed,
        ends=_has_type("finish"),
    ),
    "ag_ui": StreamFormat(
        matches=lambda event: as_text(event.get("type")).startswith(("TEXT_MESSAGE_", "RUN_")),
        read_piece=_typed_piece,
        join=_join_typed,
        ends=_has_type("RUN_FINISHED"),
        is_last=_has_type("RUN_FINISHED"),
    ),
}
"""The formats by the name that an eval set gives under `stream`."""


def find_format(events: Sequence[JsonObject]) -> StreamFormat | None:
    """Return the format that at least one event has for certain."""
    return next((each for each in FORMATS.values() if any(map(each.matches, events))), None)
