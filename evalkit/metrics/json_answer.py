"""Find the one JSON value in the text of an answer: all of it, in a fence, or inside of prose."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from evalkit.core.json_text import parse_json, parse_leading_json
from evalkit.core.literals import Json
from evalkit.core.markdown_fence import read_blocks, read_single_block
from evalkit.core.values import is_same_json

_START = re.compile(r"[\[{]")
_MAX_TRIES = 1_000
"""Brackets of a text at which JSON is looked for."""

_MAX_PARSED_CHARS = 10_000_000
"""Characters that are parsed in search of JSON; each bracket may need the whole text."""

_MAX_FOUND = 100
"""Values of one text that are compared; the others do not make it less ambiguous."""


def read_json_answer(text: str, *, fenced: bool, prose: bool, wanted: type | None = None) -> Json:
    """Return the JSON value of an answer.

    Args:
        text: the answer.
        fenced: accept a text that is one Markdown code fence with JSON in it.
        prose: accept one JSON object or list anywhere in a text. A repeated equal value counts once.
        wanted: in prose, the type of the value: dict or list; by default both.

    Raises:
        ValueError: there is no such value, or several; the text says so.
    """
    text = text.removeprefix("\ufeff")
    if not (fenced or prose):
        return parse_json(text)
    block = read_single_block(text, must_close=False)
    try:
        return parse_json(block.content if block else text)
    except ValueError:
        if not prose:
            raise
    found = [*_find_in_blocks(text, wanted), *_find_in_prose(text, wanted)]
    distinct = [
        value
        for index, value in enumerate(found)
        if not any(is_same_json(value, other) for other in found[:index])
    ]
    if len(distinct) != 1:
        count = f"{len(distinct)} different JSON values" if distinct else "no JSON object or list"
        raise ValueError(f"the text holds {count}; one is needed")
    return distinct[0]


def _find_in_blocks(text: str, wanted: type | None) -> Iterator[Json]:
    """Yield the JSON objects and lists in fenced blocks, which may be inside of a block quote."""
    for block in read_blocks(text)[:_MAX_FOUND]:
        try:
            value = parse_json(block.content)
        except ValueError:
            continue
        if _is_wanted(value, wanted):
            yield value


def _find_in_prose(text: str, wanted: type | None) -> list[Json]:
    """Return the outermost JSON objects and lists of a text.

    Raises:
        ValueError: there are too many brackets to look at, or a value is ambiguous, such as an object
            that has a key twice.
    """
    found: list[Json] = []
    start, tries, parsed = _next_start(text, 0), 0, 0
    while start >= 0 and len(found) < _MAX_FOUND:
        tries += 1
        if tries > _MAX_TRIES or parsed > _MAX_PARSED_CHARS:
            raise ValueError("the text has too many brackets to find JSON in it")
        end, value = _parse_at(text, start)
        parsed += end - start
        if value is not None:
            start = end
            if _is_wanted(value, wanted):
                found.append(value)
        else:
            start += 1
        start = _next_start(text, start)
    return found


def _parse_at(text: str, start: int) -> tuple[int, Json]:
    """Return where the value at a bracket ends, with the value; None if it is no JSON."""
    try:
        value, rest = parse_leading_json(text[start:])
    except json.JSONDecodeError as error:
        return start + error.pos + 1, None
    return len(text) - len(rest), value


def _next_start(text: str, start: int) -> int:
    match = _START.search(text, start)
    return match.start() if match else -1


def _is_wanted(value: Json, wanted: type | None) -> bool:
    return isinstance(value, dict | list) and (wanted is None or isinstance(value, wanted))
