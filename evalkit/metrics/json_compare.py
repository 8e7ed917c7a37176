"""Compare JSON values with a tolerance for numbers, or without the order of lists."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal

from evalkit.core.literals import Json
from evalkit.core.values import is_same_json
from evalkit.metrics.builtin import UnscorableAnswer
from evalkit.metrics.deadline import check_deadline
from evalkit.metrics.partners import match_pairs

MAX_MATCHED_ITEMS = 200
"""Items of a list that are compared in any order and with a tolerance: each with each."""


def agrees_as_json(
    one: Json, other: Json, *, tolerance: float = 0.0, unordered: bool = False
) -> bool:
    """Return whether two values are equal as JSON.

    Args:
        one: a value; it may be nested as deeply as `parse_json` allows.
        other: another one.
        tolerance: the largest difference of two numbers that count as equal.
        unordered: whether the order of the items of lists does not count.

    Raises:
        UnscorableAnswer: a list is too long to compare it in any order and with a tolerance.
    """
    if unordered and not tolerance:
        return _digest(one) == _digest(other)
    if not tolerance:
        return is_same_json(one, other)
    return _agrees(one, other, Decimal(repr(tolerance)), unordered)


def _agrees(one: Json, other: Json, tolerance: Decimal, unordered: bool) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        check_deadline("comparing the values")
        return one.keys() == other.keys() and all(
            _agrees(one[key], other[key], tolerance, unordered) for key in one
        )
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        check_deadline("comparing the values")
        if len(one) != len(other):
            return False
        if unordered:
            return _agree_in_any_order(one, other, tolerance)
        return all(
            _agrees(left, right, tolerance, unordered)
            for left, right in zip(one, other, strict=True)
        )
    if _is_number(one) and _is_number(other):
        return one == other or abs(Decimal(repr(one)) - Decimal(repr(other))) <= tolerance
    return is_same_json(one, other)


def _agree_in_any_order(one: Sequence[Json], other: Sequence[Json], tolerance: Decimal) -> bool:
    if all(map(_is_number, (*one, *other))):
        # In order of size, numbers that are within a tolerance have each other as partners.
        pairs = zip(sorted(one), sorted(other), strict=True)
        return all(_agrees(left, right, tolerance, True) for left, right in pairs)
    if len(one) > MAX_MATCHED_ITEMS:
        raise UnscorableAnswer(
            f"a list of {len(one):,} items is too long to compare it in any order with a tolerance; "
            f"at most {MAX_MATCHED_ITEMS} are compared"
        )
    partners = [
        [j for j, right in enumerate(other) if _agrees(left, right, tolerance, True)]
        for left in one
    ]
    return len(match_pairs(partners)) == len(one)


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _digest(value: Json) -> str:
    """Return a text that is the same for values that are equal without the order of lists."""
    if isinstance(value, Mapping):
        check_deadline("comparing the values")
        parts = ["{", *sorted(f"{json.dumps(key)}:{_digest(each)}" for key, each in value.items())]
    elif isinstance(value, list | tuple):
        check_deadline("comparing the values")
        parts = ["[", *sorted(map(_digest, value))]
    else:
        is_whole = isinstance(value, float) and value.is_integer()
        return json.dumps(int(value) if is_whole else value)
    return hashlib.sha256(",".join(parts).encode()).hexdigest()
