"""An agent that is asked once, turned into one that is asked again after trouble on the way to it."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from evalkit.agents.registry import Agent
from evalkit.core.eval_set import AgentSpec
from evalkit.core.serialization import digest
from evalkit.core.spans import CACHED
from evalkit.core.trial import AgentError, Output, Request
from evalkit.store.cache import Cache

INITIAL_WAIT_S = 1.0
MAX_WAIT_S = 30.0
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
        self.max_attempts_used = 1
        self._agent = agent
        self._attempts = attempts
        self._waiting_left_s = deadline_s
        self._sleep = sleep
        self._rng = rng

    async def answer(self, request: Request) -> Output:
        """Ask until there is an answer, an error that asking again cannot mend, or no budget."""
        for attempt in itertools.count(1):
            output = await self._agent.answer(request)
            self.max_attempts_used = max(self.max_attempts_used, attempt)
            if output.error is None or not output.error.retryable or attempt >= self._attempts:
                break
            wait_s = compute_wait_s(output.error, attempt, self._rng)
            if wait_s > self._waiting_left_s:
                break
            self._waiting_left_s -= wait_s
            await self._sleep(wait_s)
        return output


def compute_wait_s(error: AgentError, attempt: int, rng: random.Random) -> float:
    """Seconds to wait after the failed `attempt` (from 1): exponential, spread out, never less than asked.

    The spread keeps calls that failed together from coming back together.
    """
    doubled_s = INITIAL_WAIT_S * 2.0 ** min(attempt - 1, 30)
    backoff_s = min(doubled_s, MAX_WAIT_S) * rng.uniform(0.5, 1.0)
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


def compute_agent_key(spec: AgentSpec, source_digest: str, environ: Mapping[str, str]) -> str:
    """Covers how the agent is reached, its code as far as it is known, and the variables it is given."""
    given = {name: environ.get(name) for name in spec.env}
    return digest([spec.kind, spec.args, source_digest, given])


class CachingAgent:
    """Asks an agent only what it has not answered before; an error is never kept.

    A trial keeps its own answer: the second trial of a case is another question than the first.
    """

    def __init__(self, agent: Agent, cache: Cache[Output], key: str) -> None:
        self._agent = agent
        self._cache = cache
        self._key = key

    async def answer(self, request: Request) -> Output:
        """The kept answer, or a new one, which is kept."""
        asked = replace(request, timeout_s=0.0, case_id="")
        key = digest([self._key, msgspec.to_builtins(asked)])
        kept = self._cache.get(key)
        if kept is not None:
            return replace(kept, flags=(*kept.flags, CACHED))
        output = await self._agent.answer(request)
        if output.error is None:
            self._cache.put(key, output)
        return output


class NoAgent:
    """Stands where outputs that are there are only scored again."""

    async def answer(self, request: Request) -> Output:
        """Nobody answers."""
        message = f"no agent was to be asked about {request.case_id}."
        return Output(error=AgentError(kind="no_agent", message=message))
