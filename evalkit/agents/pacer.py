"""Share the limits of one endpoint, which are learned from its replies, among all calls of a run to it."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
from collections.abc import Callable, Hashable, MutableMapping
from typing import Any, Protocol

from evalkit.agents.pace import RAMP_CALLS, Pace, Started
from evalkit.core.serialization import digest
from evalkit.core.trial import AgentError

MAX_OUTAGE_S = 60.0
"""For so long, failures such as HTTP 500 of an endpoint that serves no call spend no attempt."""

MIN_LONG_WAITS = 3
"""After so many refusals in a row, a wait that is too long for the deadline applies to all calls."""


class CallQueue(Protocol):
    """The calls that wait in one `Lane`, in order."""

    @property
    def can_start(self) -> bool:
        """Whether a call waits for nothing but the pace."""

    @property
    def first_place(self) -> int:
        """The place of the next call among those of all queues."""

    def ready_s(self, now_s: float) -> float:
        """Return when the limits of this queue allow the next call."""

    def start_first(self, now_s: float) -> None:
        """Give the next call its permit."""

    def mark_paced(self) -> None:
        """Record that the next call waits for the pace."""

    def refuse_hopeless(self, now_s: float) -> None:
        """End the wait of all calls if it would be too long."""


class Pacer:
    """Paces all calls of a run to one endpoint with one key; they wait in queues."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        ramp_calls: float = RAMP_CALLS,
    ) -> None:
        self.clock = clock
        self.rng = rng or random.Random()  # noqa: S311 - spreads the waits
        self.pace = Pace(self.rng, ramp_calls)
        self._queues: list[CallQueue] = []
        self._numbers = itertools.count()
        # Calls that have failed and were not served since: when they last did, and those that failed again
        # after a later call had been served.
        self._failed_at_s: dict[Hashable, float] = {}
        self._faulty: set[Hashable] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add_queue(self, queue: CallQueue) -> None:
        """Let the calls of a queue take turns with those of the others."""
        self._queues.append(queue)

    def next_place(self) -> int:
        """Return the place of a call at the end of all queues.

        A call that was refused waits at the end again: the next one may not be refused.
        """
        return next(self._numbers)

    def release(self) -> None:
        """Start the calls that may start now, and set a timer for the next one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while True:
            now_s = self.clock()
            paced_s = self.pace.next_start_s(now_s)
            for queue in self._queues:
                queue.refuse_hopeless(now_s)
            ready = [queue for queue in self._queues if queue.can_start]
            if not ready:
                return
            queue = min(ready, key=lambda one: (max(paced_s, one.ready_s(now_s)), one.first_place))
            wait_s = max(paced_s, queue.ready_s(now_s)) - now_s
            if wait_s > 0:
                if paced_s > now_s:
                    queue.mark_paced()
                self._timer = asyncio.get_running_loop().call_later(
                    max(wait_s, 0.001), self.release
                )
                return
            queue.start_first(now_s)

    def record(
        self, call: Hashable, started: Started, error: AgentError | None, left_s: float
    ) -> bool:
        """Record the result of a call; return whether its error is transient.

        `left_s` are the seconds that the call may still wait.
        """
        now_s = self.clock()
        if error is None or not error.retryable:
            self.pace.record_served(started, now_s)
            self._failed_at_s.pop(call, None)
            self._faulty.discard(call)
            return False
        was_served = self.pace.served_at_s > -math.inf
        # Until the first call is served, a server that cannot be reached is a wrong address.
        is_transient = error.transient and (was_served or error.kind != "connect")
        is_limit = is_transient and error.kind != "connect"
        if not is_transient:
            is_transient = was_served and self._is_outage(call, started, now_s)
        self._failed_at_s[call] = now_s
        if is_transient:
            wait_s = error.retry_after_s
            if wait_s is not None and wait_s >= left_s:
                is_believed = self.pace.random.in_a_row + 1 >= MIN_LONG_WAITS
                wait_s = wait_s if is_believed else None
            self.pace.record_refused(started, now_s, wait_s, is_limit=is_limit)
        else:
            self.pace.record_failed(now_s)
        return is_transient

    def _is_outage(self, call: Hashable, started: Started, now_s: float) -> bool:
        """Return whether the endpoint serves no call, so that a failure says nothing about this call.

        Nothing was served since this call started or failed last, and another call has failed. A call
        that fails again, while one that started after its last failure was served, is faulty itself.
        """
        served_at_s = self.pace.served_at_s
        if self._failed_at_s.get(call, math.inf) < self.pace.last_served_start_s:
            self._faulty.add(call)
        others_s = (
            at_s
            for other, at_s in self._failed_at_s.items()
            if other != call and other not in self._faulty
        )
        return (
            call not in self._faulty
            and served_at_s < self._failed_at_s.get(call, started.at_s)
            and self.pace.silent_s(now_s) < MAX_OUTAGE_S
            and any(failed_at_s > served_at_s for failed_at_s in others_s)
        )


def find_pacer(pacers: MutableMapping[str, Any], url: str, key: str) -> Pacer:
    """Return the pacer of an endpoint and a key among those of a run, or a new one."""
    name = digest([url.rstrip("/"), key])
    pacer: Pacer = pacers.setdefault(name, Pacer())
    return pacer
