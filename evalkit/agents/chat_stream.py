"""Read the body of a chat completion: JSON, or the stream that some servers send without being asked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from evalkit.agents.reply_text import NotJson, read_json
from evalkit.core.literals import Json

_DONE = "[DONE]"
_EVENT_FIELDS = ("data:", "event:", "id:", "retry:", ":")
_JOINED = ("content", "reasoning_content", "reasoning", "refusal")
"""The texts of a message that come in pieces."""


def read_chat_json(text: str) -> Json:
    """Return the JSON of a reply; of a stream, the completion that its pieces make up.

    Blank lines and comments, which keep a connection alive, may come before the JSON.

    Raises:
        NotJson: it is neither.
    """
    try:
        value = _unwrap(read_json(text))
        return join_chunks([value], is_done=True) if _is_piece(value) else value
    except NotJson as wrong:
        events = _list_events(text)
        if events is None:
            raise
        if not events:
            raise NotJson("nothing where JSON should be") from None
        values = list(_iter_values(events))
        if len(values) < len(events):
            raise wrong
        if len(values) == 1 and not _is_piece(values[0]):
            return _unwrap(values[0])
        return join_chunks(values, is_done=_is_done(text))


def _unwrap(value: Json) -> Json:
    """Return the object in a list of one, or in a text of JSON."""
    if isinstance(value, list) and len(value) == 1:
        return value[0]
    if isinstance(value, str) and value.lstrip().startswith("{"):
        with suppress(NotJson):
            return read_json(value)
    return value


def _list_events(text: str) -> list[str] | None:
    """Return the texts of the events of a stream, or the lines of one JSON value each; None for neither."""
    lines = text.strip().splitlines()
    if not lines:
        return None
    if not lines[0].startswith(_EVENT_FIELDS):
        listed = [line for line in lines if line.strip()]
        return listed if len(listed) > 1 and listed[0].startswith("{") else None
    events, data = [], list[str]()
    body = list[str]()
    for line in [*lines, ""]:
        if line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))
        elif not line.strip() and data:
            events.append("\n".join(data))
            data = []
        elif line.strip() and not line.startswith(_EVENT_FIELDS):
            body.append(line)
    # Without events, what is left besides comments is the JSON.
    return [each for each in events if each.strip() != _DONE] or (["\n".join(body)] if body else [])


def _is_done(text: str) -> bool:
    return text.rstrip().endswith(_DONE)


def _iter_values(events: Iterable[str]) -> Iterator[Json]:
    for event in events:
        with suppress(ValueError, RecursionError):
            yield json.loads(event)


def _is_piece(value: Json) -> bool:
    """Return whether a value is a piece of a stream, not a whole completion."""
    if not isinstance(value, Mapping) or not isinstance(value.get("choices"), list):
        return False
    return any(isinstance(each, Mapping) and "delta" in each for each in value["choices"])


def join_chunks(values: Iterable[Json], *, is_done: bool = True) -> Json:
    """Return the completion in the pieces of a stream; `is_done` says whether an end mark came after them.

    Raises:
        NotJson: the stream breaks off, or has several whole completions.
    """
    reply: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    values = [value for value in values if isinstance(value, Mapping)]
    if sum(map(_has_message, values)) > 1:
        raise NotJson("several completions where one should be")
    for value in values:
        reply |= {key: each for key, each in value.items() if key != "choices" and each is not None}
        listed = value.get("choices")
        for choice in listed if isinstance(listed, list) else ():
            if isinstance(choice, Mapping):
                index = choice.get("index")
                _add_piece(choices.setdefault(index if isinstance(index, int) else 0, {}), choice)
    is_ended = is_done or all(choice.get("finish_reason") for choice in choices.values())
    if choices and not is_ended and not reply.get("error"):
        raise NotJson("a stream that breaks off: nothing in it says that the reply is complete")
    return {**reply, "choices": [choices[index] for index in sorted(choices)]}


def _has_message(value: Mapping[str, Any]) -> bool:
    choices = value.get("choices")
    listed = choices if isinstance(choices, list) else []
    return any(isinstance(each, Mapping) and each.get("message") for each in listed)


def _add_piece(choice: dict[str, Any], piece: Mapping[str, Any]) -> None:
    """Add one piece of a choice: a delta, or a whole message, which replaces the deltas."""
    whole = piece.get("message")
    message: dict[str, Any] = choice.setdefault("message", {})
    if isinstance(whole, Mapping):
        message |= whole
    if isinstance(piece.get("text"), str):  # the older API of completions
        message["content"] = _join(message.get("content"), piece["text"])
    delta = piece.get("delta")
    for key, value in delta.items() if isinstance(delta, Mapping) else ():
        if value is None:
            message.setdefault(key, None)
        elif key in _JOINED:
            message[key] = _join(message.get(key), value)
        elif key == "tool_calls" and isinstance(value, list):
            _add_calls(message, value)
        elif key == "function_call" and isinstance(value, Mapping):
            message[key] = _merge_function(message.get(key), value)
        else:
            message[key] = value
    known = ("message", "delta", "index", "text")
    choice |= {key: each for key, each in piece.items() if key not in known and each is not None}


def _join(before: Json, value: Json) -> Json:
    if before is None or before == "":
        return value
    if isinstance(before, str) and isinstance(value, str):
        return before + value
    listed = [each if isinstance(each, list) else [each] for each in (before, value)]
    return listed[0] + listed[1]


def _add_calls(message: dict[str, Any], pieces: Iterable[Json]) -> None:
    """Add pieces of tool calls, which carry the number of their call."""
    calls: list[dict[str, Any]] = message.get("tool_calls") or []
    for piece in pieces:
        if not isinstance(piece, Mapping):
            continue
        call = _find_call(calls, piece)
        if call is None:
            call = {}
            calls.append(call)
        call |= {key: each for key, each in piece.items() if key != "function" and each is not None}
        if isinstance(function := piece.get("function"), Mapping):
            call["function"] = _merge_function(call.get("function"), function)
    message["tool_calls"] = calls


def _find_call(calls: list[dict[str, Any]], piece: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the call that a piece continues, by its number, its id, or else the last one; None if it is new."""
    for key in ("index", "id"):
        if piece.get(key) is not None:
            return next((call for call in calls if call.get(key) == piece[key]), None)
    function = piece.get("function")
    begins = isinstance(function, Mapping) and function.get("name")
    last = calls[-1] if calls else {}
    return None if not calls or (begins and last.get("function", {}).get("name")) else last


def _merge_function(before: Json, piece: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = dict(before) if isinstance(before, Mapping) else {}
    if name := piece.get("name"):
        merged["name"] = name
    if piece.get("arguments") is not None:
        merged["arguments"] = _join(merged.get("arguments"), piece["arguments"])
    return merged
