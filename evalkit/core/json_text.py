"""Parse strict JSON in text that a model, an agent or a user wrote."""

from __future__ import annotations

import json
from typing import NoReturn

from evalkit.core.literals import Json


class RepeatedKey(ValueError):
    """An object has a key twice, so that its value is ambiguous."""

    def __init__(self, key: str) -> None:
        super().__init__("an object has the same key twice")
        self.key = key


def parse_json(text: str) -> Json:
    """Parse a text that is one JSON value.

    Raises:
        RepeatedKey: an object has a key twice.
        ValueError: it is not JSON, has NaN or Infinity, or is nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_repeats)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_leading_json(text: str) -> tuple[Json, str]:
    """Parse the JSON value at the start of a text; return it and the rest of the text.

    Raises:
        ValueError: as `parse_json`.
    """
    decoder = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_refuse_repeats)
    try:
        value, end = decoder.raw_decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value, text[end:]


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
        keys = [key for key, _ in pairs]
        raise RepeatedKey(next(key for key in keys if keys.count(key) > 1))
    return members
