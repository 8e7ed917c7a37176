"""The limits of a judge in a run: retry time, failed calls in a row, and calls in flight."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from evalkit.core.location import Problem

MAX_CONSECUTIVE_FAILURES = 5
"""Failed calls in a row, each with all its attempts, after which a judge is down for the run."""


class RetryBudget:
    """The time of a run for calls with a failed attempt; a `TimeBudget`.

    Time counts while at least one call has a failed attempt, until that call has a reply or is lost.
    Several such calls at the same time count once. A wait that does not fit into the rest of the budget
    is not started, and later attempts must end within the rest. First attempts are not limited.
    """

    def __init__(
        self,
        deadline_s: float,
        clock: Callable[[], float],
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._wait = wait
        self._deadline_s = deadline_s
        self._clock = clock
        self._spent_s = 0.0
        self._failing_calls = 0
        self._since = 0.0

    @property
    def remaining_s(self) -> float:
        """The seconds that are left."""
        running_s = self._clock() - self._since if self._failing_calls else 0.0
        return max(0.0, self._deadline_s - self._spent_s - running_s)

    async def wait(self, wait_s: float) -> None:
        """Wait before the next attempt."""
        await self._wait(wait_s)

    @contextmanager
    def count_time(self) -> Iterator[None]:
        """Count the time while this context of a call with a failed attempt is open."""
        if not self._failing_calls:
            self._since = self._clock()
        self._failing_calls += 1
        try:
            yield
        finally:
            self._failing_calls -= 1
            if not self._failing_calls:
                self._spent_s += self._clock() - self._since


class CircuitBreaker:
    """Stops all calls of a judge for the rest of the run once it has tripped.

    `trip_reason` is empty until then. `problem_to_fix` is set if the user can fix the reason.
    """

    def __init__(self, max_failures: int = MAX_CONSECUTIVE_FAILURES) -> None:
        self.trip_reason = ""
        self.problem_to_fix: Problem | None = None
        self._max_failures = max_failures
        self._failures = 0
        self._tripped = asyncio.Event()

    def trip(self, reason: str, problem_to_fix: Problem | None = None) -> None:
        """Stop all calls; keep the first reason."""
        if not self.trip_reason:
            self.trip_reason = reason
            self.problem_to_fix = problem_to_fix
            self._tripped.set()

    def record_success(self) -> None:
        """Record that a call got a reply."""
        self._failures = 0

    def record_failure(self, reason: str) -> None:
        """Record that a call was lost, with all its attempts."""
        self._failures += 1
        if self._failures >= self._max_failures:
            self.trip(f"{self._failures} calls in a row failed, the last because {reason}")

    async def wait(self, wait_s: float) -> None:
        """Wait until the time is over or the circuit breaker has tripped."""
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._tripped.wait()


class AdaptiveLimit:
    """The limit of calls in flight: additive increase, multiplicative decrease (as in TCP).

    A rate limit halves the limit, once per episode: rate limits of calls that were sent before the last
    change belong to the same episode and change nothing. As many successes in a row as the limit raise
    it by one, up to the ceiling.
    """

    def __init__(self, ceiling: int) -> None:
        self.limit = ceiling
        self._ceiling = ceiling
        self._in_flight = 0
        # Counts the rate limits that have changed the limit.
        self._episode = 0
        self._since_change = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def has_capacity(self) -> bool:
        """Whether a call could start now without a wait."""
        return self._in_flight < self.limit and not self._waiting

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[int]:
        """Wait for a slot, first come, first served; yield the episode in which the call starts."""
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
        """Record that a call which started in this episode met a rate limit."""
        if episode == self._episode:
            self._episode += 1
            self._since_change = 0
            self.limit = max(1, self.limit // 2)

    def record_success(self) -> None:
        """Record that a call was answered."""
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
                # The call was canceled after it got a slot: give the slot to the next call.
                self._in_flight -= 1
                self._admit_waiting()
            raise

    def _admit_waiting(self) -> None:
        while self._waiting and self._in_flight < self.limit:
            ticket = self._waiting.popleft()
            if not ticket.done():
                self._in_flight += 1
                ticket.set_result(None)
