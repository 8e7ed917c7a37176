"""What a run allows a judge: patience after trouble, money, and calls lost in a row."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from evalkit.core.location import Problem

MAX_CONSECUTIVE_FAILURES = 5
"""Calls lost one after the other, each with all its attempts, after which a judge is down for good."""


class RetryBudget:
    """The time that a run allows for calls that met trouble.

    Time counts while at least one call is in trouble: from its first failed attempt until it has a reply
    or is lost. Several calls in trouble at the same time count once. A wait that does not fit into what
    is left is not begun, and no further attempt outlasts it; first attempts are not affected.
    """

    def __init__(self, deadline_s: float, clock: Callable[[], float]) -> None:
        self._deadline_s = deadline_s
        self._clock = clock
        self._spent_s = 0.0
        self._calls_in_trouble = 0
        self._since = 0.0

    @property
    def remaining_s(self) -> float:
        """Seconds that are left."""
        running_s = self._clock() - self._since if self._calls_in_trouble else 0.0
        return max(0.0, self._deadline_s - self._spent_s - running_s)

    @contextmanager
    def count_time(self) -> Iterator[None]:
        """Hold this open while one call is in trouble."""
        if not self._calls_in_trouble:
            self._since = self._clock()
        self._calls_in_trouble += 1
        try:
            yield
        finally:
            self._calls_in_trouble -= 1
            if not self._calls_in_trouble:
                self._spent_s += self._clock() - self._since


class CircuitBreaker:
    """Tells when a judge will answer no more in this run: `blown` says why, `refused` what to mend."""

    def __init__(self, most_lost: int = MAX_CONSECUTIVE_FAILURES) -> None:
        self.trip_reason = ""
        self.problem_to_fix: Problem | None = None
        self._max_failures = most_lost
        self._failures = 0
        self._tripped = asyncio.Event()

    def trip(self, reason: str, refused: Problem | None = None) -> None:
        """Be down for good; the first reason stays."""
        if not self.trip_reason:
            self.trip_reason = reason
            self.problem_to_fix = refused
            self._tripped.set()

    def record_success(self) -> None:
        """A call had a reply."""
        self._failures = 0

    def record_failure(self, reason: str) -> None:
        """A call was lost, with all its attempts."""
        self._failures += 1
        if self._failures >= self._max_failures:
            self.trip(f"{self._failures} calls in a row were lost, the last because {reason}")

    async def wait(self, wait_s: float) -> None:
        """Wait, but no longer than until it is blown."""
        try:
            async with asyncio.timeout(wait_s):
                await self._tripped.wait()
        except TimeoutError:
            return


class CostBudget:
    """What a judge may cost in a run. Calls under way when it is empty are paid all the same."""

    def __init__(self, most_usd: float | None) -> None:
        self.spent_usd = 0.0
        self._max_usd = most_usd

    def add_cost(self, cost_usd: float | None) -> None:
        """Count the cost of a call; one of unknown price counts nothing."""
        self.spent_usd += cost_usd or 0.0

    @property
    def is_limited(self) -> bool:
        """Whether it can be empty."""
        return self._max_usd is not None

    @property
    def exhausted_reason(self) -> str:
        """Why nothing more is to be spent; empty while something may be."""
        if self._max_usd is None or self.spent_usd < self._max_usd:
            return ""
        return f"max_cost_usd is {self._max_usd:g} USD, and its calls have cost {self.spent_usd:.4g} USD"


class AdaptiveLimit:
    """Additive increase, multiplicative decrease, once per episode.

    A rate limit halves the number. Those that come to calls which had been sent before belong to the same
    episode and change nothing. Each run of as many calls without one as may be under way adds one again,
    up to the ceiling.
    """

    def __init__(self, ceiling: int) -> None:
        self.limit = ceiling
        self._ceiling = ceiling
        self._in_flight = 0
        self._episode = 0
        self._since_change = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def has_capacity(self) -> bool:
        """Whether a call that asks for it now need not wait."""
        return self._in_flight < self.limit and not self._waiting

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[int]:
        """Wait for room, first come, first served; yields the episode in which the call begins."""
        if self.has_capacity:
            self._in_flight += 1
        else:
            await self._wait_in_queue()
        try:
            yield self._episode
        finally:
            self._in_flight -= 1
            self._admit_waiting()

    def record_rate_limit(self, episode: int) -> None:
        """A call that began in that episode was told to slow down."""
        if episode == self._episode:
            self._episode += 1
            self._since_change = 0
            self.limit = max(1, self.limit // 2)

    def record_success(self) -> None:
        """A call was answered."""
        self._since_change += 1
        if self._since_change >= self.limit and self.limit < self._ceiling:
            self._since_change = 0
            self.limit += 1
            self._admit_waiting()

    async def _wait_in_queue(self) -> None:
        ticket = asyncio.get_running_loop().create_future()
        self._waiting.append(ticket)
        try:
            await ticket
        except asyncio.CancelledError:
            if ticket.done() and not ticket.cancelled():
                # The room it was given goes to the next.
                self._in_flight -= 1
                self._admit_waiting()
            raise

    def _admit_waiting(self) -> None:
        while self._waiting and self._in_flight < self.limit:
            ticket = self._waiting.popleft()
            if not ticket.done():
                self._in_flight += 1
                ticket.set_result(None)
