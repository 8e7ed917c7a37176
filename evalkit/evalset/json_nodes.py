"""Parse JSON text into nodes, within limits on its depth and size."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from evalkit.core.literals import Json
from evalkit.core.location import Location, Problem
from evalkit.evalset.nodes import (
    MAX_DEPTH,
    MAX_TEXT,
    InvalidNode,
    ListNode,
    MappingNode,
    Member,
    Node,
    Scalar,
    ScalarKind,
    find_number_problem,
    quote_short,
)

MAX_JSON_VALUES = 500_000
"""Values in one JSON text, such as one line. Each takes about 300 bytes of memory until it is read."""

# Possessive and without a required closing quote, so that no text makes it backtrack.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|(?P<open>[\[{])|(?P<close>[\]}])|(?P<comma>,)')


_SPACE = re.compile(r"[ \t\n\r]*")


class JsonSyntaxError(ValueError):
    """A text is not JSON; the message says why, and in which column. `line` counts from 1."""

    def __init__(self, error: json.JSONDecodeError) -> None:
        reason = error.msg.removesuffix(" at")
        super().__init__(f"not valid JSON: {reason} in column {error.colno}")
        self.line = error.lineno
        self.column = error.colno
        self.has_more = reason == "Extra data"


class _TooLarge(ValueError):
    """A value would take too much stack or memory."""


class _Number(NamedTuple):
    """A JSON number as written."""

    kind: ScalarKind
    text: str


class _Constant(NamedTuple):
    """What Python reads as a number and JSON does not allow: NaN or Infinity."""

    name: str


class _Object(NamedTuple):
    """A JSON object as written, including duplicate keys."""

    pairs: list[tuple[str, Json]]


_JSON = json.JSONDecoder(
    object_pairs_hook=_Object,
    parse_int=lambda text: _Number("integer", text),
    parse_float=lambda text: _Number("decimal", text),
    parse_constant=_Constant,
)


def parse_json_node(text: str, where: Location) -> Node:
    """Return the one JSON value in a text; every node of it gets the location `where`.

    Raises:
        JsonSyntaxError: it is not JSON.
        ValueError: it is too large or nested too deeply, or a key or number in it is not allowed.
    """
    # Before decoding, because the decoder recurses and builds the whole value in memory.
    if text.count("[") + text.count("{") > MAX_DEPTH or text.count(",") >= MAX_JSON_VALUES:
        _check_size(text, 0)
    try:
        value = _JSON.decode(text)
    except json.JSONDecodeError as error:
        raise JsonSyntaxError(error) from None
    return _json_node(value, where)


def iter_json_items(
    text: str, start: int, end: str, path: str, problems: list[Problem]
) -> Iterator[Node]:
    """Yield the items of the list whose `[` is before `start`; after its `]` the text is `end`.

    Each item is decoded on its own, so that it has its line and little memory is in use at a time. What
    is wrong within an item is added to `problems`.

    Raises:
        JsonSyntaxError: the text is not such a list.
    """
    position, line, counted = _skip_space(text, start), 1, 0
    is_last = text.startswith("]", position)
    while not is_last:
        line, counted = line + text.count("\n", counted, position), position
        where = Location(path=path, line=line, column=1)
        try:
            value, position = _decode_at(text, position)
        except _TooLarge as error:
            problems.append(Problem(message=str(error), where=where))
            yield InvalidNode(where=where)
            return
        yield _report_invalid(value, where, problems)
        position = _skip_space(text, position)
        is_last = text.startswith("]", position)
        if not is_last:
            if not text.startswith(",", position):
                raise _syntax_error("Expecting ',' delimiter", text, position)
            position = _skip_space(text, position + 1)
    if text[position + 1 :].strip() != end:
        raise _syntax_error("Extra data", text, position + 1)


def _skip_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _syntax_error(reason: str, text: str, position: int) -> JsonSyntaxError:
    return JsonSyntaxError(json.JSONDecodeError(reason, text, position))


def _decode_at(text: str, position: int) -> tuple[Json, int]:
    """Return the value that begins at a position, and the position of its end."""
    _check_size(text, position)
    try:
        return _JSON.raw_decode(text, position)
    except json.JSONDecodeError as error:
        raise JsonSyntaxError(error) from None


def _report_invalid(value: Json, where: Location, problems: list[Problem]) -> Node:
    try:
        return _json_node(value, where)
    except ValueError as error:
        problems.append(Problem(message=str(error), where=where))
        return InvalidNode(where=where)


def _check_size(text: str, start: int) -> None:
    """Refuse a value that would take too much stack or memory, before building anything."""
    depth = commas = 0
    for match in _TOKEN.finditer(text, start):
        depth += (match.lastgroup == "open") - (match.lastgroup == "close")
        commas += match.lastgroup == "comma"
        if depth > MAX_DEPTH:
            raise _TooLarge(f"nested more than {MAX_DEPTH} levels deep.")
        if commas >= MAX_JSON_VALUES:
            raise _TooLarge(f"more than {MAX_JSON_VALUES:,} values in one JSON value. Split it.")
        if depth <= 0:
            return


def _json_node(value: Json, where: Location) -> Node:
    match value:
        case str():
            if len(value) > MAX_TEXT:
                raise ValueError(
                    f"text of {len(value):,} characters; at most {MAX_TEXT:,} are allowed."
                )
            return Scalar(kind="text", text=value, where=where)
        case _Object():
            return _object_node(value.pairs, where)
        case _Number():
            if problem := find_number_problem(value.text):
                raise ValueError(problem)
            return Scalar(kind=value.kind, text=value.text, where=where)
        case _Constant():
            raise ValueError(f"numbers must be finite, but {value.name} is not. Use null or text.")
        case list():
            return ListNode(items=tuple(_json_node(item, where) for item in value), where=where)
        case bool():
            return Scalar(kind="boolean", text="true" if value else "false", where=where)
        case _:
            return Scalar(kind="null", text="", where=where)


def _object_node(pairs: Sequence[tuple[str, Json]], where: Location) -> Node:
    members = {key: Member(where, _json_node(value, where)) for key, value in pairs}
    # Counting is slow, so it is done only when a key is missing.
    if len(members) < len(pairs):
        key = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"duplicate key {quote_short(key)}. Keep one.")
    return MappingNode(members=members, where=where)
