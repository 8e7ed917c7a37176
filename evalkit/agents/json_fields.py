"""Read fields of JSON that came from outside and may have any shape."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from evalkit.core.literals import Json

JsonObject: TypeAlias = Mapping[str, Any]


def as_text(value: Json) -> str:
    """Return a text as it is, and an empty text for anything else."""
    return value if isinstance(value, str) else ""


def as_object(value: Json) -> JsonObject:
    """Return an object as it is, and an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def iter_objects(values: Json) -> Iterator[JsonObject]:
    """Yield the objects in a list; nothing for anything else."""
    if isinstance(values, list | tuple):
        yield from (value for value in values if isinstance(value, Mapping))


def first_object(values: Json) -> JsonObject:
    """Return the first value of a list if it is an object, and an empty object otherwise."""
    return as_object(values[0]) if isinstance(values, list) and values else {}


def find_last(objects: Iterable[Json], *keys: str) -> Json:
    """Return the last value at these keys, one inside the other, that is not null."""
    found: Json = None
    for each in objects:
        value: Json = each
        for key in keys:
            value = as_object(value).get(key)
        found = found if value is None else value
    return found


def parse_if_json(text: Json) -> Json:
    """Return the JSON value that a text contains; return anything else unchanged."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
