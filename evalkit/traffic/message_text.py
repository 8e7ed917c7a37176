"""Find what the user asked last, and what the agent answered, in the messages of any library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit.core.literals import Json
from evalkit.trace.tool_data import parse_value
from evalkit.traffic.personal_fields import classify_field

_MAX_DEPTH = 8
_USERS = ("user", "human", "humanmessage", "humanmessagechunk")
_AGENTS = ("assistant", "ai", "model", "aimessage", "aimessagechunk")
_INPUT_KEYS = (
    "messages",
    "input",
    "inputs",
    "question",
    "query",
    "prompt",
    "user_input",
    "user_message",
    "contents",
    "text",
    "content",
    "message",
    "kwargs",
    "request",
    "body",
)
_OUTPUT_KEYS = (
    "output",
    "answer",
    "output_text",
    "final_output",
    "response",
    "messages",
    "choices",
    "generations",
    "candidates",
    "completion",
    "message",
    "text",
    "content",
    "result",
    "return_value",
)


def find_user_text(value: Json) -> str | None:
    """Return the last message of the user, without the history before it; None if there is none."""
    return _find(value, _INPUT_KEYS, _USERS, _MAX_DEPTH)


def find_answer_text(value: Json) -> str | None:
    """Return the last message of the agent; None if there is none."""
    return _find(value, _OUTPUT_KEYS, _AGENTS, _MAX_DEPTH)


def list_messages(value: Json) -> list[tuple[str, str]]:
    """Return the messages of the user and the agent in order, each with its role: user or assistant."""
    value = parse_value(value)
    found = []
    for message in _flatten(value) if isinstance(value, list) else []:
        role = _read_role(message)
        text = _read_content(message, _MAX_DEPTH) if isinstance(message, Mapping) else None
        if text and role in (*_USERS, *_AGENTS):
            found.append(("user" if role in _USERS else "assistant", text))
    return found


def _find(value: Json, keys: Sequence[str], roles: Sequence[str], depth: int) -> str | None:
    if depth == 0 or value is None:
        return None
    if isinstance(value, str):
        parsed = parse_value(value)
        return _find(parsed, keys, roles, depth - 1) if parsed is not value else value or None
    if isinstance(value, list):
        return _find_in_list(_flatten(value), keys, roles, depth)
    if not isinstance(value, Mapping):
        return None
    if _read_role(value) or "parts" in value:
        return _read_content(value, depth)
    for key in keys:
        found = _find(value.get(key), keys, roles, depth - 1)
        if found:
            return found
    if len(value) != 1:
        return None
    ((name, only),) = value.items()
    # Without its name, what a field such as `password` holds would not be known for what it is.
    return only if isinstance(only, str) and not classify_field(name) else None


def _find_in_list(
    items: list[Json], keys: Sequence[str], roles: Sequence[str], depth: int
) -> str | None:
    named = [item for item in items if _read_role(item)]
    wanted = [item for item in named if _read_role(item) in roles]
    for item in reversed(wanted):
        text = _read_content(item, depth)
        if text:
            return text
    if named:
        return None
    if any(_is_part(item) for item in items):
        return _read_content({"content": items}, depth)
    return _find(items[-1], keys, roles, depth - 1) if items else None


def _is_part(item: Json) -> bool:
    return isinstance(item, Mapping) and bool(_read_part(item))


def _flatten(items: list[Json]) -> list[Json]:
    """Return the items of a list, or those of the lists in it: LangChain sends a batch of conversations."""
    if items and all(isinstance(item, list) for item in items):
        return [inner for item in items for inner in item]
    return items


def _read_role(message: Json) -> str:
    """Return the role of a message in lower case; empty if it names none."""
    if not isinstance(message, Mapping):
        return ""
    role = message.get("role")
    if role is None and ("content" in message or "data" in message or "kwargs" in message):
        names = message.get("id")
        is_class = isinstance(names, list) and bool(names)
        role = names[-1] if is_class and isinstance(names, list) else message.get("type")
        # These are types of parts and wrappers, not roles.
        role = None if role in ("text", "message", "constructor") else role
    return role.lower() if isinstance(role, str) else ""


def _read_content(message: Mapping[str, Json], depth: int) -> str | None:
    for key in ("content", "parts", "text"):
        value = message.get(key)
        if isinstance(value, str):
            # Strands writes the parts of a message as text.
            parsed = parse_value(value)
            value = parsed if isinstance(parsed, list) and any(map(_is_part, parsed)) else value
        if isinstance(value, str) and value:
            return value
        if isinstance(value, list):
            texts = [_read_part(part) for part in value]
            text = "\n".join(filter(None, texts))
            if text:
                return text
    for key in ("data", "kwargs", "message", "content"):
        inner = message.get(key)
        if isinstance(inner, Mapping) and depth > 0:
            return _read_content(inner, depth - 1)
    return None


def _read_part(part: Json) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping) or part.get("type", "text") not in (
        "text",
        "input_text",
        "output_text",
    ):
        return ""
    text = part.get("text", part.get("content"))
    return text if isinstance(text, str) else ""
