"""The limits that a user sets on the calls of an agent or judge: calls and tokens per time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

HEADROOM = 0.98
"""The share of a limit that is used, because requests arrive a little earlier or later than planned."""

BURST_S = 0.05
"""Calls at a rate are at least this far apart, or start as many at once as this time allows."""

TOKEN_BURST_S = 10.0
"""The time whose tokens may be used at once: endpoints check a limit per minute in parts of a minute."""

CHARACTERS_PER_TOKEN = 4
UNKNOWN_OUTPUT_TOKENS = 500.0
"""The tokens expected of a first answer whose length nothing limits."""


class Bucket:
    """An amount that refills at a constant rate, per second, up to its capacity.

    More than the capacity is taken from a full bucket, which is then in debt.
    """

    def __init__(self, per_second: float, capacity: float, now_s: float) -> None:
        self._per_second = per_second
        self._capacity = capacity
        self._level = capacity
        self._at_s = now_s

    def ready_s(self, now_s: float, amount: float) -> float:
        """Return the time at which an amount can be taken, at the earliest `now_s`."""
        self._refill(now_s)
        missing = min(amount, self._capacity) - self._level
        return now_s + max(0.0, missing) / self._per_second

    def take(self, now_s: float, amount: float) -> None:
        """Take an amount; a negative one is put back."""
        self._refill(now_s)
        self._level = min(self._level - amount, self._capacity)

    def _refill(self, now_s: float) -> None:
        earned = max(0.0, now_s - self._at_s) * self._per_second
        self._level = min(self._level + earned, self._capacity)
        self._at_s = now_s


class CallLimits:
    """The limits of one agent or judge. `rate` is calls per second; None is no limit."""

    def __init__(
        self, rate: float | None, tokens_per_min: float | None, clock: Callable[[], float]
    ) -> None:
        self._clock = clock
        self._calls = self._tokens = None
        if rate is not None:
            rate *= HEADROOM
            self._calls = Bucket(rate, max(1.0, rate * BURST_S), clock())
        if tokens_per_min is not None:
            per_second = tokens_per_min * HEADROOM / 60
            self._tokens = Bucket(per_second, per_second * TOKEN_BURST_S, clock())

    def ready_s(self, now_s: float, tokens: float) -> float:
        """Return the time at which a call with so many tokens may start."""
        at_s = now_s
        if self._calls is not None:
            at_s = self._calls.ready_s(now_s, 1.0)
        if self._tokens is not None:
            at_s = max(at_s, self._tokens.ready_s(now_s, tokens))
        return at_s

    def take(self, now_s: float, tokens: float) -> None:
        """Record that a call with so many tokens starts."""
        if self._calls is not None:
            self._calls.take(now_s, 1.0)
        if self._tokens is not None:
            self._tokens.take(now_s, tokens)

    def correct_tokens(self, difference: float) -> None:
        """Take the tokens that a call used in addition to its estimate; put back a negative number."""
        if self._tokens is not None:
            self._tokens.take(self._clock(), difference)


@dataclass(slots=True)
class TokenEstimate:
    """Estimates the tokens of a request before it is sent: its characters, and the answers so far."""

    max_output: float | None = None
    answers: int = 0
    output_tokens: float = 0.0

    def estimate(self, characters: int) -> float:
        """Return the tokens that a request with so many characters will use, with its answer."""
        limit = self.max_output or UNKNOWN_OUTPUT_TOKENS
        output = self.output_tokens / self.answers if self.answers else limit
        return characters / CHARACTERS_PER_TOKEN + output

    def add(self, input_tokens: int, output_tokens: int) -> float | None:
        """Learn from an answer; return the tokens of the whole call, or None if they are not known."""
        if not input_tokens + output_tokens:
            return None
        self.answers += 1
        self.output_tokens += output_tokens
        return float(input_tokens + output_tokens)
