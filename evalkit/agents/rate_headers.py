"""Read from a refusal how long an endpoint asks to wait."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?")
_GO_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?(?:h|ms|m|s|us|µs|ns))+")
_GO_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?)(h|ms|m|s|us|µs|ns)")
_GO_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}

# google.rpc.RetryInfo, in the body of Gemini's errors.
_RETRY_DELAY = re.compile(r'"retryDelay"\s*:\s*"([0-9]+(?:\.[0-9]*)?)s"')

_RESET_PREFIXES = ("x-ratelimit-", "anthropic-ratelimit-")
_LIMITED = ("requests", "tokens", "input-tokens", "output-tokens")
_PLAIN_PREFIXES = ("x-ratelimit-", "ratelimit-")
"""Of gateways that have one limit (OpenRouter), and of the draft of a standard for such headers."""

_EPOCH_S = 1e9
_EPOCH_MS = 1e12
"""A number at least this large is a time since 1970, in seconds or milliseconds."""


def find_wait_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that the headers of a refusal ask to wait, or None.

    `Retry-After` and `retry-after-ms` say it. Otherwise it is the time to the reset of whatever has
    nothing left, or whose rest is unknown (`x-ratelimit-reset-*`, `anthropic-ratelimit-*-reset`,
    `ratelimit-reset`).
    Negative and unreadable values do not count.
    """
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    milliseconds = _read_number(lower.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    asked = parse_retry_after(lower.get("retry-after"), now)
    if asked is not None:
        return asked
    return max(_iter_resets(lower, now), default=None)


def find_body_wait_s(body: str) -> float | None:
    """Return the seconds that the body of a refusal asks to wait (Gemini's `retryDelay`), or None."""
    found = _RETRY_DELAY.search(body)
    return _read_number(found[1]) if found else None


def _iter_resets(headers: Mapping[str, str], now: datetime) -> Iterator[float]:
    for prefix in _RESET_PREFIXES:
        for limited in _LIMITED:
            # OpenAI: x-ratelimit-reset-requests. Anthropic: anthropic-ratelimit-requests-reset.
            names = (f"{prefix}{{}}-{limited}", f"{prefix}{limited}-{{}}")
            for name in names:
                left = _read_number(headers.get(name.format("remaining"), ""))
                reset_s = parse_reset(headers.get(name.format("reset"), ""), now)
                if reset_s is not None and not left:
                    yield reset_s
    for prefix in _PLAIN_PREFIXES:
        reset_s = parse_reset(headers.get(f"{prefix}reset", ""), now)
        if reset_s is not None and not _read_number(headers.get(f"{prefix}remaining", "")):
            yield reset_s


def parse_reset(value: str, now: datetime) -> float | None:
    """Read the time of a reset as seconds from `now`: a Go duration, seconds, or a date of RFC 3339.

    >>> parse_reset("6m0s", datetime(2026, 1, 1, tzinfo=UTC))
    360.0
    """
    number = _read_number(value)
    if number is not None:
        if number < _EPOCH_S:
            return number
        at_s = number / 1000 if number >= _EPOCH_MS else number
        return max(0.0, at_s - now.timestamp())
    if _GO_DURATION.fullmatch(value):
        return sum(float(count) * _GO_UNITS[unit] for count, unit in _GO_PART.findall(value))
    try:
        date = datetime.fromisoformat(value)
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - now).total_seconds())


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Read an HTTP Retry-After (RFC 9110, 10.2.3), seconds or a date, as seconds from `now`.

    Return 0 for a date in the past, and None for anything else.

    >>> parse_retry_after("30", datetime(2026, 1, 1, tzinfo=UTC))
    30.0
    """
    text = (value or "").strip()
    seconds = _read_number(text)
    if seconds is not None:
        return seconds
    try:
        date = parsedate_to_datetime(text)
        # A date with an unknown zone (-0000) has no tzinfo; HTTP dates are always UTC.
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        return max((date - now).total_seconds(), 0.0)
    except (ValueError, OverflowError):
        return None


def _read_number(text: str) -> float | None:
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None
