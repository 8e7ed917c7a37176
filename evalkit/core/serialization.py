"""Convert records to JSON. Default values are left out, and reading fills them in again."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, NoReturn, TypeVar

import msgspec

from evalkit.core.literals import Json

Record = TypeVar("Record")


def parse_stored_json(data: bytes) -> Json:
    """Parse stored JSON: no NaN, no infinity, and no nesting beyond Python's recursion limit.

    Raises:
        ValueError: It is not such JSON.
    """
    try:
        return json.loads(data, parse_constant=_refuse_constant, parse_float=_read_finite)
    except RecursionError:
        # Not chained: the traceback has a thousand frames.
        raise ValueError("nested too deeply") from None


def parse_stored_record(data: bytes, kind: type[Record]) -> Record:
    """Parse stored JSON to a record of this type; keys that are not its fields are skipped.

    Raises:
        ValueError: It is not such JSON, or not such a record.
    """
    try:
        decoder: msgspec.json.Decoder[Record] = _find_decoder(kind)  # type: ignore[arg-type]  # a type is hashable
        return decoder.decode(data)
    except (msgspec.DecodeError, RecursionError):
        # Slower, but it reads lone surrogates, and it words every problem.
        return msgspec.convert(parse_stored_json(data), kind, strict=True)


@cache
def _find_decoder(kind: Any) -> Any:
    return msgspec.json.Decoder(kind)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _read_finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def to_json_value(value: object) -> Json:
    """Convert a record, or a sequence or mapping of records, to JSON; `msgspec.convert` reverses it.

    >>> from evalkit.core.trial import Score
    >>> to_json_value(Score(metric="exact_match", value=1.0, passed=True))
    {'metric': 'exact_match', 'value': 1.0, 'passed': True}
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {key: to_json_value(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json_value(item) for item in value]
    record: Any = type(value)
    return {
        name: to_json_value(item)
        for name, default in _find_defaults(record)
        # Identity first: it is cheaper than equality, and most values are the default itself.
        if (item := getattr(value, name)) is not default and item != default
    }


@cache
def _find_defaults(record: Any) -> tuple[tuple[str, object], ...]:
    if not is_dataclass(record):
        raise TypeError(f"{record.__name__} is not a record")
    return tuple(
        (each.name, each.default if each.default_factory is MISSING else each.default_factory())
        for each in fields(record)
    )


def canonical_json(value: Json) -> str:
    """Format one line of strict ASCII JSON with sorted keys and no spaces; raise ValueError for NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Json) -> str:
    """Return the first 16 hex digits of the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]
