"""Stop a run on SIGINT, SIGTERM or SIGHUP: no call starts any more, and calls in flight may finish."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from evalkit.core.errors import Interrupted

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Sent by Ctrl-C, by a CI system that cancels a job, and by a terminal that closes."""

GRACE_S = 5.0
"""Seconds that calls in flight may take to finish after a stop is requested.

CI systems kill a job about 10 seconds after they cancel it, and the agent's processes need time to end.
"""

UNWIND_S = 1.0
"""Seconds for the rest of a run, to store what came, before it is canceled as well."""

T = TypeVar("T")


class CallsStopped(Exception):
    """A call was not started, or its result is not needed, because a stop was requested."""


class StopRequest:
    """Asks a command to stop: calls in flight get a grace period to finish, then they are canceled.

    `signal_number` is the first signal that arrived; None before.
    """

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self.requested = asyncio.Event()
        self.immediate = asyncio.Event()
        self.signal_number: int | None = None
        self._grace_s = grace_s
        self._idle: set[asyncio.Task[Any]] = set()
        self._actions: list[Callable[[], object]] = []

    def request(self, signal_number: int | None = None) -> None:
        """Start no more calls and end all waits; after the grace period or a second call, cancel all."""
        if self.requested.is_set():
            self.immediate.set()
            return
        self.signal_number = signal_number
        self.requested.set()
        asyncio.get_running_loop().call_later(self._grace_s, self.immediate.set)
        for action in self._actions:
            action()
        for task in self._idle:
            task.cancel()

    def on_request(self, action: Callable[[], object]) -> None:
        """Call `action` when a stop is requested, or now if it has been."""
        self._actions.append(action)
        if self.requested.is_set():
            action()

    @contextmanager
    def cancel_while_idle(self) -> Iterator[None]:
        """Have a stop cancel this task at once while it is in this context, except within `busy`."""
        task = _get_current_task()
        self._idle.add(task)
        try:
            yield
        finally:
            self._idle.discard(task)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Let this task continue after a stop: it has a call in flight, or ends by itself."""
        task = _get_current_task()
        was_idle = task in self._idle
        self._idle.discard(task)
        try:
            yield
        finally:
            if was_idle:
                self._idle.add(task)

    async def finish_in_time(self, work: Awaitable[T]) -> T | None:
        """Return the result of `work`; cancel it and return None once the grace period is over."""
        working = asyncio.ensure_future(work)
        immediate = asyncio.ensure_future(self.immediate.wait())
        try:
            await asyncio.wait({working, immediate}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # When `working` is done, this has no effect.
            immediate.cancel()
            working.cancel()
            await asyncio.gather(immediate, working, return_exceptions=True)
        return None if working.cancelled() else working.result()


def _get_current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("not called from a task")
    return task


async def run_stoppable(work: Callable[[StopRequest], Coroutine[Any, Any, T]]) -> T:
    """Run a command's work, and stop it on a signal; work that is not `busy` is canceled at once.

    Raises:
        Interrupted: a signal ended the work before it had a result.
    """
    stop = StopRequest()

    async def work_while_idle() -> T:
        with stop.cancel_while_idle():
            return await work(stop)

    with _handle_signals(stop):
        working = asyncio.ensure_future(work_while_idle())
        immediate = asyncio.ensure_future(stop.immediate.wait())
        try:
            await asyncio.wait({working, immediate}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                await asyncio.wait({working}, timeout=UNWIND_S)
        finally:
            immediate.cancel()
            working.cancel()
        try:
            return await working
        except asyncio.CancelledError:
            if stop.signal_number is None:
                raise
            raise Interrupted("interrupted.", stop.signal_number) from None


@contextmanager
def _handle_signals(stop: StopRequest) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.request, number)
    try:
        yield
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
