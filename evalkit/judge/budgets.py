"""The limit of failed calls in a row, after which a judge is down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from evalkit.core.location import Problem

MAX_CONSECUTIVE_FAILURES = 5
"""Failed calls in a row, each with all its attempts, after which a judge is down for the run."""


class CircuitBreaker:
    """Stops all calls of a judge for the rest of the run once it has tripped.

    `trip_reason` is empty until then. `problem_to_fix` is set if the user can fix the reason. `on_trip`
    is called once.
    """

    def __init__(self, max_failures: int = MAX_CONSECUTIVE_FAILURES) -> None:
        self.trip_reason = ""
        self.on_trip: Callable[[str], object] = str
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
            self.on_trip(reason)

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
