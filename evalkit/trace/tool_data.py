"""Read the arguments and the outcome of a tool call from the wrappers that frameworks put around them."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress

from evalkit.core.literals import Json

_MAX_JSON_DEPTH = 50
"""Levels of nesting. Deeper JSON stays text: readers of stored runs must not hit a recursion limit."""

_MAX_ERROR_CHARS = 500
_MAX_WRAPPERS = 3
_WRAPPERS = ("output", "data", "kwargs", "toolResult", "update")
"""The keys under which a result holds the message of a tool."""


def parse_value(value: Json) -> Json:
    """Parse a text that holds a JSON object or array, and return any other value as it is.

    OpenTelemetry attributes hold no objects, so senders serialize arguments and results.
    """
    if not (isinstance(value, str) and value[:1] in ("{", "[")):
        return value
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return parsed if _is_storable(parsed, _MAX_JSON_DEPTH) else value


def _is_storable(value: Json, depth: int) -> bool:
    """Return whether all numbers are finite and fit into 64 bits, and nesting is below `depth`."""
    if isinstance(value, float | int):
        return abs(value) < 2**63
    children = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(children, list) or not children:
        return True
    return depth > 1 and all(_is_storable(child, depth - 1) for child in children)


def unwrap_arguments(value: Json, tool: str, parameters: Json) -> Json:
    """Return the arguments of a call by name, without what a framework wraps around them.

    `parameters` is the tool's schema, which names positional arguments; None if it is unknown.
    """
    value = _parse_mapping(parse_value(value))
    part = _find_part(value, "tool_call", "arguments")
    if part is not None:
        return parse_value(part)
    if not isinstance(value, Mapping):
        return value
    if isinstance(value.get("kwargs"), Mapping) and isinstance(value.get("args"), list):
        return _name_positional(value["args"], value["kwargs"], parameters)
    if "input_str" in value and isinstance(value.get("inputs"), Mapping):  # OpenLLMetry's LangChain
        return value["inputs"]
    named = value.get("name", value.get("tool_name"))
    if named == tool and tool:
        for key in ("arguments", "args", "input"):
            if key in value and value.keys() <= {"name", "tool_name", "id", "type", key}:
                return _parse_mapping(parse_value(value[key]))
    return value


def _parse_mapping(value: Json) -> Json:
    """Parse the text of a Python mapping, as `str(arguments)` writes it."""
    if isinstance(value, str) and value.startswith("{'"):
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            return parse_value(json.dumps(ast.literal_eval(value)))
    return value


def _name_positional(args: Sequence[Json], kwargs: Mapping[str, Json], parameters: Json) -> Json:
    if not args:
        return dict(kwargs)
    schema = parse_value(parameters)
    names = schema.get("properties", schema) if isinstance(schema, Mapping) else ()
    if not isinstance(names, Mapping) or len(names) < len(args):
        # A single mapping is what frameworks pass on as all the arguments.
        if len(args) == 1 and isinstance(args[0], Mapping) and not kwargs:
            return args[0]
        return {"args": list(args), "kwargs": dict(kwargs)} if kwargs else list(args)
    return {**dict(zip(names, args, strict=False)), **kwargs}


def read_result(value: Json) -> Json:
    """Return the result of a call, without the message that holds it."""
    value = parse_value(value)
    part = _find_part(value, "tool_call_response", "response", "result")
    return value if part is None else parse_value(part)


def _find_part(messages: Json, kind: str, *keys: str) -> Json:
    """Return a key of the only part of some messages in the GenAI format, or None."""
    if not isinstance(messages, list) or len(messages) != 1:
        return None
    parts = messages[0].get("parts") if isinstance(messages[0], Mapping) else None
    if not isinstance(parts, list) or len(parts) != 1 or not isinstance(parts[0], Mapping):
        return None
    if parts[0].get("type") != kind:
        return None
    return next((parts[0][key] for key in keys if key in parts[0]), None)


def find_handled_error(result: Json, tool: str) -> str:
    """Return the error that a tool's result reports to the model; empty if it reports none.

    A framework that handles the error of a tool ends the span without one. MCP sets `isError`, and
    messages of tools have the status `error`.
    """
    if isinstance(result, list) and len(result) == 1:
        result = result[0]
    if isinstance(result, Mapping):
        message = _unwrap_message(result)
        is_error = any(message.get(key) is True for key in ("isError", "is_error"))
        if is_error or (message.get("status") == "error" and _find_text(message)):
            return _find_text(message)[:_MAX_ERROR_CHARS] or "error"
    # What an MCP server in Python says; some clients pass on nothing but this text.
    text = _find_text(result) if isinstance(result, Mapping | str | list) else ""
    return (
        text[:_MAX_ERROR_CHARS] if tool and text.startswith(f"Error executing tool {tool}:") else ""
    )


def find_error_text(result: Json) -> str:
    """Return the text under `error` in the result of a tool that failed, or an empty text."""
    found = (
        result.get("error", result.get("error_message")) if isinstance(result, Mapping) else None
    )
    return _find_text(found)[:_MAX_ERROR_CHARS]


def _unwrap_message(result: Mapping[str, Json]) -> Mapping[str, Json]:
    """Return the innermost message in a result, as LangChain and Strands serialize it."""
    for _ in range(_MAX_WRAPPERS):
        inner = next(
            (result[key] for key in _WRAPPERS if isinstance(result.get(key), Mapping)), None
        )
        if inner is None:
            break
        result = inner
    return result


def _find_text(value: Json) -> str:
    """Return the text in a message: its content, or the texts of its parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return " ".join(filter(None, map(_find_text, value[:20])))
    if isinstance(value, Mapping):
        keys = ("content", "text", "error", "error_message", "message")
        return next(filter(None, (_find_text(value.get(key)) for key in keys)), "")
    return ""
