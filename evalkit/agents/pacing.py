"""Let the calls to one endpoint start when its limits, set or learned, allow it."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from evalkit.agents.pace import RAMP_CALLS, Pace, Started
from evalkit.agents.rate_limits import CallLimits
from evalkit.core.serialization import digest
from evalkit.core.trial import AgentError

MAX_OUTAGE_S = 60.0
"""So long, failures such as HTTP 500 of an endpoint that serves no call spend no attempt."""

MIN_LONG_WAITS = 3
"""After so many refusals in a row, a wait that is too long for the deadline applies to all calls."""


class NoTurn(Exception):
    """A call may not start: the wait would be longer than its deadline, or its lane is closed."""

    def __init__(self, error: AgentError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(slots=True)
class _Waiting:
    """A call that waits for its turn; those with a lower `order` go first."""

    order: int
    tokens: float
    ticket: asyncio.Future[Started]
    was_paced: bool = False


@dataclass(slots=True)
class _Failure:
    order: int
    at_s: float


class Pacer:
    """Paces all calls of a run to one endpoint with one key; they wait in lanes."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        ramp_calls: float = RAMP_CALLS,
    ) -> None:
        self.clock = clock
        self.rng = rng or random.Random()  # noqa: S311 - spreads the waits
        self.pace = Pace(self.rng, ramp_calls)
        self._lanes: list[Lane] = []
        self._numbers = itertools.count()
        # Calls that have failed and were not served since.
        self._failed: dict[Hashable, _Failure] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add_lane(self, lane: Lane) -> None:
        """Let the calls of a lane take turns with those of the others."""
        self._lanes.append(lane)

    def get_order(self, call: Hashable) -> int:
        """Return the place of a call in the queue: a call that has failed goes before new ones."""
        failure = self._failed.get(call)
        return next(self._numbers) if failure is None else failure.order

    def release(self) -> None:
        """Start the calls that may start now, and set a timer for the next one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while True:
            now_s = self.clock()
            paced_s = self.pace.next_start_s(now_s)
            for lane in self._lanes:
                lane.refuse_hopeless(now_s)
            ready = [lane for lane in self._lanes if lane.can_start]
            if not ready:
                return
            lane = min(ready, key=lambda one: (max(paced_s, one.ready_s(now_s)), one.first.order))
            wait_s = max(paced_s, lane.ready_s(now_s)) - now_s
            if wait_s > 0:
                if paced_s > now_s:
                    lane.first.was_paced = True
                self._timer = asyncio.get_running_loop().call_later(
                    max(wait_s, 0.001), self.release
                )
                return
            lane.start_first(now_s)

    def record(
        self, call: Hashable, order: int, started: Started, error: AgentError | None, left_s: float
    ) -> bool:
        """Record the result of a call; return whether the weather is its reason.

        `left_s` are the seconds that the call may still wait.
        """
        now_s = self.clock()
        if error is None or not error.retryable:
            self.pace.record_served(started, now_s)
            self._failed.pop(call, None)
            return False
        was_served = self.pace.served_at_s > -math.inf
        # Until the first call is served, a server that cannot be reached is a wrong address.
        is_weather = error.transient and (was_served or error.kind != "connect")
        is_limit = is_weather and error.kind != "connect"
        if not is_weather:
            is_weather = was_served and self._is_outage(call, started, now_s)
        earlier = self._failed.get(call)
        self._failed[call] = _Failure(earlier.order if earlier else order, now_s)
        if is_weather:
            wait_s = error.retry_after_s
            if wait_s is not None and wait_s >= left_s:
                is_believed = self.pace.random.in_a_row + 1 >= MIN_LONG_WAITS
                wait_s = wait_s if is_believed else None
            self.pace.record_refused(started, now_s, wait_s, is_limit=is_limit)
        else:
            self.pace.record_failed(now_s)
        return is_weather

    def _is_outage(self, call: Hashable, started: Started, now_s: float) -> bool:
        """Return whether the endpoint serves no call, so that a failure says nothing about this call.

        Nothing was served since this call started or failed last, and another call has failed.
        """
        served_at_s = self.pace.served_at_s
        own = self._failed.get(call)
        since_s = started.at_s if own is None else min(own.at_s, started.at_s)
        return (
            served_at_s < since_s
            and self.pace.silent_s(now_s) < MAX_OUTAGE_S
            and any(
                other != call and failure.at_s > served_at_s
                for other, failure in self._failed.items()
            )
        )


class Lane:
    """The calls of one agent or judge to an endpoint, within limits of their own.

    No call waits while the endpoint has served no call for `deadline_s`. `concurrency` limits the calls
    in flight.
    """

    def __init__(
        self,
        pacer: Pacer,
        *,
        deadline_s: float = math.inf,
        concurrency: int | None = None,
        rate: float | None = None,
        tokens_per_min: float | None = None,
    ) -> None:
        self.pacer = pacer
        self.deadline_s = deadline_s
        self._concurrency = concurrency
        self._limits = CallLimits(rate, tokens_per_min, pacer.clock)
        self._in_flight = 0
        self._waiting: deque[_Waiting] = deque()
        self._last_error = AgentError(kind="rate_limited", message="", retryable=True)
        self._closed = ""
        pacer.add_lane(self)

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
        """Whether a call that comes now would start at once."""
        now_s = self.pacer.clock()
        is_free = not self._waiting and self._has_room
        return is_free and max(self.pacer.pace.next_start_s(now_s), self.ready_s(now_s)) <= now_s

    @property
    def can_start(self) -> bool:
        """Whether a call waits for nothing but the pace."""
        return bool(self._waiting) and self._has_room

    @property
    def first(self) -> _Waiting:
        """The call whose turn is next."""
        return self._waiting[0]

    @property
    def _has_room(self) -> bool:
        return self._concurrency is None or self._in_flight < self._concurrency

    @asynccontextmanager
    async def turn(self, call: Hashable, tokens: float = 0.0) -> AsyncIterator[Turn]:
        """Wait until a request may be sent, and hold its place while it is in flight.

        Args:
            call: what the request is an attempt of. It is the same for all attempts.
            tokens: an estimate of the tokens that it will use.

        Raises:
            NoTurn: it may not be sent any more.
        """
        waiting = _Waiting(
            self.pacer.get_order(call), tokens, asyncio.get_running_loop().create_future()
        )
        self._enqueue(waiting)
        started = await self._wait(waiting)
        turn = Turn(self, call, waiting.order, started, tokens)
        try:
            yield turn
        finally:
            self._leave(started)

    def close(self, reason: str) -> None:
        """Let no further call start."""
        self._closed = reason
        self.refuse_hopeless(self.pacer.clock())

    def ready_s(self, now_s: float) -> float:
        """Return when the limits of this lane allow the next call."""
        return self._limits.ready_s(now_s, self.first.tokens if self._waiting else 0.0)

    def start_first(self, now_s: float) -> None:
        """Give the next call its turn."""
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
                ticket.set_exception(NoTurn(error))

    def record(
        self, turn: Turn, error: AgentError | None, tokens: float | None
    ) -> AgentError | None:
        """Record the result of a turn; see `Turn.record`."""
        if tokens is not None:
            self._limits.correct_tokens(tokens - turn.tokens)
        if error is not None and error.retryable:
            self._last_error = error
        left_s = self.left_s
        is_weather = self.pacer.record(turn.call, turn.order, turn.started, error, left_s)
        return error if error is None else replace(error, transient=is_weather)

    def _enqueue(self, waiting: _Waiting) -> None:
        place = len(self._waiting)
        while place and self._waiting[place - 1].order > waiting.order:
            place -= 1
        self._waiting.insert(place, waiting)
        self.pacer.release()

    async def _wait(self, waiting: _Waiting) -> Started:
        try:
            return await waiting.ticket
        except asyncio.CancelledError:
            if waiting.ticket.done() and not waiting.ticket.cancelled():
                # The call was canceled after it got its turn.
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
class Turn:
    """The right to send one request."""

    lane: Lane
    call: Hashable
    order: int
    started: Started
    tokens: float

    def record(self, error: AgentError | None, tokens: float | None = None) -> AgentError | None:
        """Record the result of the request, and the tokens that it used if they are known.

        Return the error; it is `transient` if it says nothing about this request, but that the endpoint
        serves none, or not so many.
        """
        return self.lane.record(self, error, tokens)


def find_pacer(pacers: MutableMapping[str, Any], url: str, key: str) -> Pacer:
    """Return the pacer of an endpoint and a key among those of a run, or a new one."""
    name = digest([url.rstrip("/"), key])
    pacer: Pacer = pacers.setdefault(name, Pacer())
    return pacer
