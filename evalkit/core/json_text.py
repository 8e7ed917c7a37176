"""Parse strict JSON in text that a model, an agent or a user wrote."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import NoReturn

from evalkit.core.limits import MAX_REPLY_DEPTH
from evalkit.core.literals import Json

_TOO_DEEP = "it is nested too deeply"


class RepeatedKey(ValueError):
    """An object has a key twice, so that its value is ambiguous."""

    def __init__(self, key: str) -> None:
        super().__init__("an object has the same key twice")
        self.key = key


def parse_json(text: str) -> Json:
    """Parse a text that is one JSON value.

    Raises:
        RepeatedKey: an object has a key twice.
        ValueError: it is not JSON, has NaN, Infinity or an integer of over 4,300 digits, or is nested
            deeper than MAX_REPLY_DEPTH.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_repeats)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    return _refuse_depth(value, text)


def parse_leading_json(text: str) -> tuple[Json, str]:
    """Parse the JSON value at the start of a text; return it and the rest of the text.

    Raises:
        ValueError: as `parse_json`.
    """
    decoder = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_refuse_repeats)
    try:
        value, end = decoder.raw_decode(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    return _refuse_depth(value, text[:end]), text[end:]


def is_deeper_than(value: Json, limit: int) -> bool:
    """Return whether lists and mappings are nested more than `limit` deep."""
    level = [value]
    for _ in range(limit):
        level = [child for parent in level for child in _children_of(parent)]
        if not level:
            return False
    return any(isinstance(each, Mapping | list | tuple) for each in level)


def _children_of(value: Json) -> list[Json]:
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []


def _refuse_depth(value: Json, text: str) -> Json:
    # Most texts have too few brackets to be deep, which is quicker to see than the depth.
    brackets = text.count("[") + text.count("{")
    if brackets > MAX_REPLY_DEPTH and is_deeper_than(value, MAX_REPLY_DEPTH):
        raise ValueError(_TOO_DEEP)
    return value


def parse_call_arguments(value: Json) -> Json:
    """Return the arguments of a call: {} instead of None, and a parsed object instead of its JSON text."""
    if value is None:
        return {}
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            return parse_json(value)
        except ValueError:
            return value
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse_repeats(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    # By default json keeps the last of several equal keys, without a warning.
    members = dict(pairs)
    if len(members) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise RepeatedKey(next(key for key, count in counts.items() if count > 1))
    return members
