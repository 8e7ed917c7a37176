"""How long an endpoint asks to wait, in all the ways in which endpoints say it."""

from __future__ import annotations

import string
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.agents.rate_headers import (
    find_body_wait_s,
    find_wait_s,
    parse_reset,
    parse_retry_after,
)

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("0", 0.0),
        ("1", 1.0),
        ("1.5", 1.5),
        (" 30 ", 30.0),
        ("Sun, 22 Nov 2026 12:01:00 GMT", 60.0),
        ("Sun, 22 Nov 2026 13:00:30 +0100", 30.0),
        ("Sun, 22 Nov 2026 12:00:30 -0000", 30.0),
        ("Sat, 01 Jan 2000 00:00:00 GMT", 0.0),
        ("garbage", None),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("1e400", None),
        ("9" * 400, None),
        ("Sun, 99 Nov 2026 12:01:00 GMT", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(value: str | None, wanted: float | None) -> None:
    assert parse_retry_after(value, NOW) == wanted


@given(st.text(alphabet=string.printable))
def test_no_retry_after_breaks_a_run(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds < float("inf")


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("12ms", 0.012),
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("1h2m3.5s", 3723.5),
        ("2m59.56s", 179.56),
        ("20", 20.0),
        ("2026-11-22T12:00:30Z", 30.0),
        ("2026-11-22T13:00:30+01:00", 30.0),
        ("2026-11-22T11:00:00Z", 0.0),
        (str(NOW.timestamp() + 30), 30.0),
        ("-1", None),
        ("-1s", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_reset_is_read_as_duration_or_date(value: str, wanted: float | None) -> None:
    assert parse_reset(value, NOW) == (wanted if wanted is None else pytest.approx(wanted))


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({"Retry-After": "2"}, 2.0),
        ({"Retry-After": "2", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "-5", "Retry-After": "3"}, 3.0),
        # What has something left is not the reason.
        (
            {
                "x-ratelimit-remaining-requests": "7",
                "x-ratelimit-reset-requests": "9s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "250ms",
            },
            0.25,
        ),
        ({"X-RateLimit-Reset-Requests": "2s", "x-ratelimit-reset-tokens": "-1"}, 2.0),
        (
            {
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2026-11-22T12:00:10Z",
                "anthropic-ratelimit-requests-remaining": "9",
                "anthropic-ratelimit-requests-reset": "2026-11-22T12:01:00Z",
            },
            10.0,
        ),
        ({"Retry-After": "1", "x-ratelimit-reset-requests": "6m0s"}, 1.0),
        # OpenRouter names the time in milliseconds, and the draft of a standard the seconds until it.
        (
            {
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": str(int((NOW.timestamp() + 7) * 1000)),
            },
            7.0,
        ),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "5"}, 5.0),
        ({"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": "60"}, None),
        ({"Content-Type": "text/html"}, None),
    ],
)
def test_the_headers_say_how_long_to_wait(headers: dict[str, str], wanted: float | None) -> None:
    assert find_wait_s(headers, NOW) == wanted


def test_gemini_says_it_in_the_body() -> None:
    delay = '[{"error": {"code": 429, "details": [{"@type": "RetryInfo", "retryDelay": "58s"}]}}]'
    assert find_body_wait_s(delay) == 58.0
    assert find_body_wait_s('{"retryDelay": "0.5s"}') == 0.5
    assert find_body_wait_s('{"retryDelay": "-1s"}') is None
    assert find_body_wait_s("<html>") is None
