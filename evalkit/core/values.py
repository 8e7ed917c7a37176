"""Find, compare and describe JSON values: parts of outputs, labels and arguments."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Final

from evalkit.core.literals import Json
from evalkit.core.unicode_form import compose

ABSENT: Final = object()
"""What `find_value` returns for a path that does not exist. For a null at the path it returns None."""

MAX_QUOTED_CHARS = 80
"""Characters of a value that an explanation shows. The whole value is stored with the trial."""

_CONTAINERS = (Mapping, list, tuple)
_LEAD_CHARS = 20
_MAX_LISTED = 5
_MAX_COMPOSED = 4
"""How many times as long one Unicode form of a text may be as another."""


def find_value(value: Json, path: str) -> Json:
    """Return the value at a dotted path, or ABSENT; an empty path is the value itself.

    A step is a key, a field of a record, or the index of a list; `-1` is the last item.

    >>> find_value({"items": [{"name": "shoe"}]}, "items.0.name")
    'shoe'
    """
    for step in path.split(".") if path else ():
        value = _take_step(value, step)
        if value is ABSENT:
            break
    return value


def iter_texts(value: Json) -> Iterator[str]:
    """Yield every text in a value, at any depth; keys are left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from iter_texts(item)


def _take_step(value: Json, step: str) -> Json:
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


def is_same_json(one: Json, other: Json) -> bool:
    """Return whether two values are equal as JSON: 1 and 1.0 are, true and 1 are not.

    Values of any depth and size can be compared.
    """
    if not isinstance(one, _CONTAINERS):  # most values, and quicker
        return _is_same_scalar(one, other)
    pairs = [(one, other)]
    while pairs:
        left, right = pairs.pop()
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            if left.keys() != right.keys():
                return False
            pairs += [(left[key], right[key]) for key in left]
        elif isinstance(left, list | tuple) and isinstance(right, list | tuple):
            if len(left) != len(right):
                return False
            pairs += zip(left, right, strict=True)
        elif not _is_same_scalar(left, right):
            return False
    return True


def _is_same_scalar(one: Json, other: Json) -> bool:
    # In Python True == 1.
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    # Lists and mappings are unequal here, and comparing them may exceed the depth of recursion.
    if isinstance(one, _CONTAINERS) or isinstance(other, _CONTAINERS):
        return False
    return bool(one == other)


def canonical_json(value: Json) -> str:
    """Return a text that two values have in common exactly if `is_same_json` says that they are equal.

    Raises:
        RecursionError: the value is nested too deeply.
    """
    return json.dumps(_plain_numbers(value), sort_keys=True)


def _plain_numbers(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {key: _plain_numbers(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_numbers(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def describe_kind(value: Json) -> str:
    """Return what a value is, in words that the author of an eval set knows."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {quote_value(value)}"
    if isinstance(value, str):
        return f"the text {quote_value(value)}"
    return "a mapping" if isinstance(value, Mapping) else "a list"


def quote_value(value: Json) -> str:
    """Return the repr of a value, cut to MAX_QUOTED_CHARS."""
    if isinstance(value, str):
        return f"{value[:MAX_QUOTED_CHARS]!r}{'…' if len(value) > MAX_QUOTED_CHARS else ''}"
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested deeply, or an integer of over 4,300 digits
        text = f"{type(value).__name__} too large to show"
    return text if len(text) <= MAX_QUOTED_CHARS else f"{text[:MAX_QUOTED_CHARS]}…"


def describe_mismatch(expected: Json, got: Json) -> str:
    """Return two unequal values in words; `got` may be ABSENT."""
    shown = "nothing" if got is ABSENT else quote_value(got)
    return f"expected {quote_value(expected)}, got {shown}"


def enumerate_values(values: Sequence[Json]) -> str:
    """Return values quoted and separated by commas. Of many values, show only the first."""
    shown = ", ".join(quote_value(value) for value in values[:_MAX_LISTED])
    rest = len(values) - _MAX_LISTED
    return f"{shown} and {rest} more" if rest > 0 else shown


def describe_difference(expected: str, got: str) -> str:
    """Return two unequal texts side by side, from shortly before the first difference."""
    shorter = min(len(expected), len(got))
    same = bisect_left(range(1, shorter + 1), True, key=lambda n: expected[:n] != got[:n])
    start = same - _LEAD_CHARS if same > MAX_QUOTED_CHARS - _LEAD_CHARS else 0
    # Texts that look the same differ only in their code points, so these are shown.
    is_as_long = shorter * _MAX_COMPOSED >= max(len(expected), len(got))
    looks_same = is_as_long and compose(expected) == compose(got)
    show = ascii if looks_same else repr
    one, other = (
        f"{'…' if start else ''}{show(text[start : start + MAX_QUOTED_CHARS])}"
        f"{'…' if len(text) > start + MAX_QUOTED_CHARS else ''}"
        for text in (expected, got)
    )
    return f"expected {one}, got {other}"
