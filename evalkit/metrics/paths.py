"""Reads the value at a dotted path (`items.0.name`) out of records, mappings and lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Final

from evalkit.core.literals import Json

ABSENT: Final = object()
"""What `find` gives for a path that leads nowhere; distinct from a null that stands there."""


def find_value(value: Json, path: str) -> Json:
    """The value at `path`, or ABSENT; an empty path is the value itself.

    A step is a key, a field, or a list's index; `-1` is the last of a list.

    >>> find({"items": [{"name": "shoe"}]}, "items.0.name")
    'shoe'
    """
    for step in path.split(".") if path else ():
        value = _step(value, step)
        if value is ABSENT:
            break
    return value


def _step(value: Json, step: str) -> Json:
    if isinstance(value, Mapping):
        return value.get(step, ABSENT)
    if isinstance(value, list | tuple):
        try:
            return value[int(step)]
        except (ValueError, IndexError):
            return ABSENT
    if is_dataclass(value) and step in value.__dataclass_fields__:
        return getattr(value, step)
    return ABSENT
