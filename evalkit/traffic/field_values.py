"""Read single fields of exported records: numbers, flags, times, users. None means unknown."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from evalkit.core.literals import Json

_NO_VALUE = ("", "none", "null", "nan", "undefined", "n/a")
_NO_USER = ("anonymous", "anon", "unknown", "guest", "0", "-", "default", "default_user_id")
_YES = ("true", "1", "yes", "y", "t", "ok", "success", "succeeded", "completed")
_NO = ("false", "0", "no", "n", "f", "error", "failure", "failed", "failure")
MAX_AMOUNT = 1e12
MAX_COUNT = 2**31 - 1
"""More than any request takes, costs, or counts. A value beyond them is unknown."""

_FIRST_S = 946_684_800
"""The year 2000 in seconds. A smaller number is no time of a request."""

_MAX_US = 253_402_300_799 * 10**6


def as_label(value: Json) -> str | None:
    """Return a nonempty text; the words for nothing, such as `None`, are nothing."""
    if value is None or isinstance(value, dict | list):
        return None
    text = str(value).strip()
    return None if text.lower() in _NO_VALUE else text


def as_user(value: Json) -> str | None:
    """Return the id of a user or a session; one that many share, such as `anonymous`, is unknown."""
    text = as_label(value)
    return None if text is None or text.lower() in _NO_USER else text


def as_number(value: Json) -> float | None:
    """Return a finite number, also from a text."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def as_amount(value: Json) -> float | None:
    """Return a number that a time or a cost can have: at least 0, and no more than `MAX_AMOUNT`."""
    number = as_number(value)
    return number if number is not None and 0 <= number <= MAX_AMOUNT else None


def as_count(value: Json) -> int | None:
    """Return a whole number from 0 to `MAX_COUNT`."""
    number = as_number(value)
    return None if number is None or not 0 <= number <= MAX_COUNT else int(number)


def as_share(value: Json) -> float | None:
    """Return a probability above 0."""
    number = as_number(value)
    return number if number is not None and 0 < number <= 1 else None


def as_flag(value: Json) -> bool | None:
    """Return a truth value, also from a text or a number."""
    if isinstance(value, bool) or value is None:
        return value
    word = str(value).strip().lower().removesuffix(".0")
    return True if word in _YES else False if word in _NO else None


def as_time_us(value: Json) -> int | None:
    """Return a time in microseconds since 1970; None if it is none.

    A number counts seconds, milliseconds, microseconds, or nanoseconds, by its size; one with eight digits
    is a date, such as 20261116. A text is ISO 8601; without a zone it is in UTC.
    """
    number = as_number(value)
    if number is not None and not _COMPACT_DATE.fullmatch(str(value).strip()):
        if number < _FIRST_S:
            return None
        # A whole number stays exact.
        whole = int(number)
        for limit, up, down in ((1e11, 10**6, 1), (1e14, 10**3, 1), (1e17, 1, 1), (1e20, 1, 10**3)):
            if number < limit:
                return int(number * up) if whole != number else whole * up // down
        return None
    if not isinstance(value, str | int):
        return None
    text = str(value).strip().removesuffix(" UTC")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND
    return micros if 0 < micros < _MAX_US else None


_COMPACT_DATE = re.compile(r"(19|20)[0-9]{6}")
_MICROSECOND = datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
