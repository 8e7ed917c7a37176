"""Give each call a worker process, and start further processes while calls wait."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

from evalkit.worker.capacity import count_usable_cpus, has_room_for_process
from evalkit.worker.demand import Demand
from evalkit.worker.process import WorkerProcess
from evalkit.worker.streams import Reply

Start: TypeAlias = Callable[[], Coroutine[Any, Any, WorkerProcess]]

Assignment: TypeAlias = tuple[WorkerProcess, float]
"""The process that a call was given to, and when."""


class CrewStopped(Exception):
    """A call was not given to a process, because no call begins any more."""


class Crew:
    """At most `max_processes` processes that serve at most `calls_at_once` calls.

    The processes share the calls equally, or each gets one call at a time if `is_exclusive`.
    Then a further process starts only when calls have waited long enough to pay for it. Processes
    that share calls start as soon as there are calls for them, because their number was chosen.
    A process that has ended is replaced when calls need it. The calls of one session go to the same
    process, which may remember the earlier ones.
    """

    def __init__(  # noqa: PLR0913 - a record of them would be used once
        self,
        start: Start,
        first: WorkerProcess,
        *,
        start_s: float,
        calls_at_once: int,
        max_processes: int,
        is_exclusive: bool,
    ) -> None:
        self._start = start
        self._calls_at_once = calls_at_once
        self._max_processes = max_processes
        self._is_exclusive = is_exclusive
        # The times at which each process got its calls. The process that was used last is first.
        self._serving: dict[WorkerProcess, list[float]] = {first: []}
        self._waiting: deque[asyncio.Future[Assignment]] = deque()
        # Calls that wait for the process of their session.
        self._bound: list[tuple[asyncio.Future[Assignment], WorkerProcess]] = []
        self._sessions: WeakValueDictionary[str, WorkerProcess] = WeakValueDictionary()
        self._starting: set[asyncio.Task[WorkerProcess]] = set()
        self._demand = Demand(start_s)
        self._max_starting = count_usable_cpus()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._is_stopped = False

    async def run(self, payload: bytes, timeout_s: float, session: str) -> Reply | None:
        """Make one call as soon as a process is free; None if the process ended before the call began.

        An empty `session` is none.

        Raises:
            WorkerStartError: no process serves, and none can be started.
            CrewStopped: no call begins any more.
        """
        process, given_at = await self._acquire(self._sessions.get(session))
        if session:
            self._sessions[session] = process
        reply = None
        try:
            reply = await process.run(payload, timeout_s)
        finally:
            self._release(process, given_at, reply.inside_s if reply else 0.0)
        return reply

    def isolate_calls(self, max_processes: int) -> None:
        """Give each process one call at a time from now on, so that a crash costs only one call."""
        if not self._is_exclusive:
            self._is_exclusive, self._max_processes = True, max_processes

    def stop(self) -> None:
        """Begin no further call, also none that waits for a process; calls in a process go on."""
        self._is_stopped = True
        for waiter in (*self._waiting, *(waiter for waiter, _ in self._bound)):
            if not waiter.done():
                waiter.set_exception(CrewStopped())
        self._waiting.clear()
        self._bound.clear()

    async def close(self) -> None:
        """Give up the processes that have not loaded their target yet."""
        if self._timer is not None:
            self._timer.cancel()
        starting = list(self._starting)
        for task in starting:
            task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)

    async def _acquire(self, wanted: WorkerProcess | None) -> Assignment:
        if self._is_stopped:
            raise CrewStopped
        waiter: asyncio.Future[Assignment] = self._loop.create_future()
        if wanted:
            self._bound.append((waiter, wanted))
        else:
            self._waiting.append(waiter)
        self._assign()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._release(*waiter.result(), 0.0)
            raise

    def _release(self, process: WorkerProcess, given_at: float, inside_s: float) -> None:
        calls = self._serving.pop(process)
        calls.remove(given_at)
        # First, so that few processes do the work of a fast target.
        self._serving = {process: calls, **self._serving}
        self._demand.record_call(inside_s, self._loop.time() - given_at)
        self._assign()

    def _assign(self) -> None:
        """Give waiting calls to free processes; start processes if there are too few."""
        self._serving = {
            process: calls
            for process, calls in self._serving.items()
            if process.is_accepting or calls
        }
        self._assign_bound()
        while self._waiting:
            if self._waiting[0].done():  # cancelled
                self._waiting.popleft()
            elif process := self._find_free():
                self._give(self._waiting.popleft(), process)
            else:
                break
        self._demand.update(self._loop.time(), len(self._waiting), self._count_processes())
        while self._waiting and self._needs_process():
            self._demand.reset()
            task = self._loop.create_task(self._start())
            self._starting.add(task)
            task.add_done_callback(self._receive_process)
        # Calls may wait for so long that a process is needed although nothing else changes.
        if self._waiting and self._timer is None:
            self._timer = self._loop.call_later(self._demand.wait_s, self._look_again)

    def _assign_bound(self) -> None:
        bound, self._bound = self._bound, []
        for waiter, process in bound:
            if waiter.done():  # cancelled
                continue
            if not process.is_accepting:
                self._waiting.appendleft(waiter)
            elif self._is_free(process):
                self._give(waiter, process)
            else:
                self._bound.append((waiter, process))

    def _give(self, waiter: asyncio.Future[Assignment], process: WorkerProcess) -> None:
        given_at = self._loop.time()
        self._serving[process].append(given_at)
        waiter.set_result((process, given_at))

    def _look_again(self) -> None:
        self._timer = None
        self._assign()

    def _is_free(self, process: WorkerProcess) -> bool:
        share = 1 if self._is_exclusive else -(-self._calls_at_once // self._max_processes)
        return process.is_accepting and len(self._serving[process]) < share

    def _find_free(self) -> WorkerProcess | None:
        free = filter(self._is_free, self._serving)
        return min(free, key=lambda process: len(self._serving[process]), default=None)

    def _count_processes(self) -> int:
        return sum(process.is_accepting for process in self._serving) + len(self._starting)

    def _needs_process(self) -> bool:
        processes, starting = self._count_processes(), len(self._starting)
        if processes == 0:
            return True
        limit = min(self._max_starting, len(self._waiting))
        if processes >= self._max_processes or starting >= limit:
            return False
        return not self._is_exclusive or (self._is_due() and self._has_room())

    def _is_due(self) -> bool:
        now = self._loop.time()
        return self._demand.is_due(
            now - given_at for calls in self._serving.values() for given_at in calls
        )

    def _has_room(self) -> bool:
        model = next((process for process in self._serving if process.is_accepting), None)
        if model is None or has_room_for_process(model.pid, len(self._starting)):
            return True
        self._demand.reset()  # do not measure at every call
        return False

    def _receive_process(self, task: asyncio.Task[WorkerProcess]) -> None:
        self._starting.discard(task)
        if task.cancelled():
            return
        failure = task.exception()
        if failure is None:
            self._serving[task.result()] = []
        elif remaining := self._count_processes():
            # A failure that other calls need not notice: the others do without this process.
            self._max_processes = min(self._max_processes, remaining)
        else:
            while self._waiting:
                waiter = self._waiting.popleft()
                if not waiter.done():
                    waiter.set_exception(failure)
        self._assign()
