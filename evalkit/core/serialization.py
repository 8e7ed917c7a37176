"""Records as JSON without what is only a default, which reading them back fills in again."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import NoReturn

from evalkit.core.literals import Json


def parse_stored_json(data: bytes) -> Json:
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


def to_json_value(value: object) -> Json:
    """A record, or a sequence or mapping of records, as JSON; `msgspec.convert` is the way back.

    >>> from evalkit.records import Score
    >>> pack(Score(metric="exact_match", value=1.0, passed=True))
    {'metric': 'exact_match', 'value': 1.0, 'passed': True}
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {key: to_json_value(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json_value(item) for item in value]
    return {
        name: to_json_value(item)
        for name, default in _find_defaults(type(value))
        if (item := getattr(value, name)) is not default and item != default
    }


def _find_defaults(record: type) -> tuple[tuple[str, object], ...]:
    if record not in _DEFAULTS:
        if not is_dataclass(record):
            raise TypeError(f"{record.__name__} is not a record")
        _DEFAULTS[record] = tuple((field.name, _read_default(field)) for field in fields(record))
    return _DEFAULTS[record]


def _read_default(field: Field[object]) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()


_DEFAULTS: dict[type, tuple[tuple[str, object], ...]] = {}


def canonical_json(value: Json) -> str:
    """One line of strict JSON: keys sorted, no spaces, ASCII, no NaN (ValueError)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Json) -> str:
    """The first 16 hex digits of the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]
