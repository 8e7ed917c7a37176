"""An agent that is asked once, turned into one that is asked again after trouble on the way to it."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from evalkit.agents import Agent
from evalkit.records import AgentError, Output, Request

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0
"""Waits double from the first to the longest; what a server asks for may be longer."""


class RetryingAgent:
    """Asks an agent again, within one trial, as long as errors are retryable and the budget lasts.

    Each call may take `attempts`; all waits of the trial together take at most `deadline_s`. A wait
    that does not fit is not begun: the error stands. `most_attempts` tells afterwards how many the
    call that needed most has taken.
    """

    def __init__(
        self,
        agent: Agent,
        *,
        attempts: int,
        deadline_s: float,
        sleep: Callable[[float], Awaitable[object]],
        rng: random.Random,
    ) -> None:
        self.most_attempts = 1
        self._agent = agent
        self._attempts = attempts
        self._waiting_left_s = deadline_s
        self._sleep = sleep
        self._rng = rng

    async def answer(self, request: Request) -> Output:
        """Ask until there is an answer, an error that asking again cannot mend, or no budget."""
        for attempt in itertools.count(1):
            output = await self._agent.answer(request)
            self.most_attempts = max(self.most_attempts, attempt)
            if output.error is None or not output.error.retryable or attempt >= self._attempts:
                break
            wait_s = choose_wait(output.error, attempt, self._rng)
            if wait_s > self._waiting_left_s:
                break
            self._waiting_left_s -= wait_s
            await self._sleep(wait_s)
        return output


def choose_wait(error: AgentError, attempt: int, rng: random.Random) -> float:
    """Seconds to wait after the failed `attempt` (from 1): exponential, spread out, never less than asked.

    The spread keeps calls that failed together from coming back together.
    """
    doubled_s = FIRST_WAIT_S * 2.0 ** min(attempt - 1, 30)
    backoff_s = min(doubled_s, LONGEST_WAIT_S) * rng.uniform(0.5, 1.0)
    return max(backoff_s, (error.retry_after_s or 0.0) * rng.uniform(1.0, 1.1))


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Read an HTTP Retry-After (RFC 9110, 10.2.3), seconds or a date, as seconds from `now`.

    A date in the past is 0; what is neither is None.

    >>> parse_retry_after("30", datetime(2026, 1, 1, tzinfo=UTC))
    30.0
    """
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        seconds = float(text)
        return seconds if math.isfinite(seconds) else None
    try:
        date = parsedate_to_datetime(text)
        # A date whose zone is unknown (-0000) comes without one; HTTP knows no other than UTC.
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        return max((date - now).total_seconds(), 0.0)
    except (ValueError, OverflowError):
        return None
