"""Records as JSON without what is only a default, which reading them back fills in again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import NoReturn

from evalkit.records import Json


def unpack(data: bytes) -> Json:
    """Read stored JSON: no NaN, no infinity, no depth that Python cannot follow.

    Raises:
        ValueError: it is anything else.
    """
    try:
        return json.loads(data, parse_constant=_refuse_constant, parse_float=_read_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _read_finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no finite number")
    return number


def pack(value: object) -> Json:
    """A record, or a sequence or mapping of records, as JSON; `msgspec.convert` is the way back.

    >>> from evalkit.records import Score
    >>> pack(Score(metric="exact_match", value=1.0, passed=True))
    {'metric': 'exact_match', 'value': 1.0, 'passed': True}
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {key: pack(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [pack(item) for item in value]
    return {
        name: pack(item)
        for name, default in _defaults(type(value))
        if (item := getattr(value, name)) is not default and item != default
    }


def _defaults(record: type) -> tuple[tuple[str, object], ...]:
    if record not in _KNOWN:
        if not is_dataclass(record):
            raise TypeError(f"{record.__name__} is not a record")
        _KNOWN[record] = tuple((field.name, _default_of(field)) for field in fields(record))
    return _KNOWN[record]


def _default_of(field: Field[object]) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()


_KNOWN: dict[type, tuple[tuple[str, object], ...]] = {}
