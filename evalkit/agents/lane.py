"""Let the calls of one agent or judge start when its own limits and those of its endpoint allow it."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from evalkit.agents.pace import Started
from evalkit.agents.pacer import Pacer
from evalkit.agents.rate_limits import CallLimits
from evalkit.core.trial import AgentError


class NoPermit(Exception):
    """A call may not start: the wait would be longer than its deadline, or its lane is closed."""

    def __init__(self, error: AgentError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(slots=True)
class _Waiting:
    """A call that waits for its permit; the one with the lowest `place` is the next."""

    place: int
    tokens: float
    ticket: asyncio.Future[Started]
    was_paced: bool = False


class Lane:
    """The calls of one agent or judge to an endpoint, within limits of their own.

    No call waits while the endpoint has served no call for `deadline_s`. `concurrency` limits the calls
    in flight.
    """

    def __init__(  # noqa: PLR0913 - the limits of one agent or judge
        self,
        pacer: Pacer,
        *,
        deadline_s: float = math.inf,
        deadline_name: str = "deadline_s",
        concurrency: int | None = None,
        rate: float | None = None,
        tokens_per_min: float | None = None,
    ) -> None:
        self.pacer = pacer
        self.deadline_s = deadline_s
        self.deadline_name = deadline_name
        self._concurrency = concurrency
        self._limits = CallLimits(rate, tokens_per_min, pacer.clock)
        self._in_flight = 0
        self._waiting: deque[_Waiting] = deque()
        self._last_error = AgentError(kind="rate_limited", message="", retryable=True)
        self._closed = ""
        pacer.add_queue(self)

    @property
    def left_s(self) -> float:
        """The seconds for which the endpoint may still serve no call."""
        return max(0.0, self.deadline_s - self.pacer.pace.silent_s(self.pacer.clock()))

    @property
    def is_paused(self) -> bool:
        """Whether no call may start, because of a refusal."""
        return self.pacer.pace.is_paused(self.pacer.clock())

    @property
    def has_capacity(self) -> bool:
        """Whether a call that comes now would start soon: no pause, and not too many calls before it."""
        calls = self._in_flight + len(self._waiting)
        return not self.is_paused and (self._concurrency is None or calls < self._concurrency)

    @property
    def can_start(self) -> bool:
        """Whether a call waits for nothing but the pace."""
        return bool(self._waiting) and self._has_room

    @property
    def first_place(self) -> int:
        """The place of the next call among those of all lanes."""
        return self._waiting[0].place

    def mark_paced(self) -> None:
        """Record that the next call waits for the pace."""
        self._waiting[0].was_paced = True

    @property
    def _has_room(self) -> bool:
        return self._concurrency is None or self._in_flight < self._concurrency

    @asynccontextmanager
    async def permit(self, call: Hashable, tokens: float = 0.0) -> AsyncIterator[Permit]:
        """Wait until a request may be sent, and hold its place while it is in flight.

        Args:
            call: what the request is an attempt of. It is the same for all attempts.
            tokens: an estimate of the tokens that it will use.

        Raises:
            NoPermit: it may not be sent any more.
        """
        ticket: asyncio.Future[Started] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(self.pacer.next_place(), tokens, ticket)
        self._waiting.append(waiting)
        self.pacer.release()
        started = await self._wait(waiting)
        permit = Permit(self, call, started, tokens)
        try:
            yield permit
        finally:
            self._leave(started)

    def close(self, reason: str) -> None:
        """Let no further call start."""
        self._closed = reason
        self.refuse_hopeless(self.pacer.clock())

    def ready_s(self, now_s: float) -> float:
        """Return when the limits of this lane allow the next call."""
        return self._limits.ready_s(now_s, self._waiting[0].tokens if self._waiting else 0.0)

    def start_first(self, now_s: float) -> None:
        """Give the next call its permit."""
        waiting = self._waiting.popleft()
        if waiting.ticket.done():  # it was canceled
            return
        self._limits.take(now_s, waiting.tokens)
        self._in_flight += 1
        waiting.ticket.set_result(self.pacer.pace.start(now_s, was_paced=waiting.was_paced))

    def refuse_hopeless(self, now_s: float) -> None:
        """End the wait of all calls if it would be too long."""
        if not self._waiting:
            return
        wait_s = max(0.0, self.pacer.pace.resumes_at_s - now_s)
        error = None
        if self._closed:
            error = AgentError(kind="stopped", message=self._closed, retryable=True)
        elif wait_s >= self.left_s and self.pacer.pace.silent_s(now_s) > 0:
            error = replace(self._last_error, retry_after_s=wait_s or None, transient=True)
        while error is not None and self._waiting:
            ticket = self._waiting.popleft().ticket
            if not ticket.done():
                ticket.set_exception(NoPermit(error))

    def record(
        self, permit: Permit, error: AgentError | None, tokens: float | None
    ) -> AgentError | None:
        """Record the result of a call; see `Permit.record`."""
        if tokens is not None:
            self._limits.correct_tokens(tokens - permit.tokens)
        if error is not None and error.retryable:
            self._last_error = error
        left_s = self.left_s
        is_transient = self.pacer.record(permit.call, permit.started, error, left_s)
        return error if error is None else replace(error, transient=is_transient)

    async def _wait(self, waiting: _Waiting) -> Started:
        try:
            return await waiting.ticket
        except asyncio.CancelledError:
            if waiting.ticket.done() and not waiting.ticket.cancelled():
                # The call was canceled after it got its permit.
                self._leave(waiting.ticket.result())
            elif waiting in self._waiting:
                self._waiting.remove(waiting)
                self.pacer.release()
            raise

    def _leave(self, started: Started) -> None:
        self._in_flight -= 1
        self.pacer.pace.end(started, self.pacer.clock())
        self.pacer.release()


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to send one request."""

    lane: Lane
    call: Hashable
    started: Started
    tokens: float

    def record(self, error: AgentError | None, tokens: float | None = None) -> AgentError | None:
        """Record the result of the request, and the tokens that it used if they are known.

        Return the error; it is `transient` if it says nothing about this request, but that the endpoint
        serves none, or not so many.
        """
        return self.lane.record(self, error, tokens)
