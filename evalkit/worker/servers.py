"""Serves an async function: every call is a task of one event loop."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable
from contextlib import suppress
from time import perf_counter

from evalkit.worker.call_spans import Recorder
from evalkit.worker.pipe import Pipe, ReplySender, Target, decode


class TaskServer:
    """Calls as tasks."""

    def __init__(self, target: Target, pipe: Pipe, recorder: Recorder) -> None:
        self._target = target
        self._pipe = pipe
        self._answers = ReplySender(target, pipe)
        self._recorder = recorder
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._stopped = False

    def serve(self) -> None:
        """Answer calls until told to stop."""
        while not self._stopped:
            # A task that the target started on its own ends the loop when it raises SystemExit.
            with suppress(BaseException):
                self._loop.run_forever()

    def start_call(self, call_id: str, payload: bytes) -> None:
        """Begin a task."""
        self._loop.call_soon_threadsafe(self._start_task, call_id, payload)

    def cancel_call(self, call_id: str) -> None:
        """Cancel a task, which answers when it has ended."""
        self._loop.call_soon_threadsafe(self._cancel_task, call_id)

    def answer_ping(self) -> None:
        """Answer from the loop, so that a blocked one is known by its silence."""
        self._loop.call_soon_threadsafe(self._pipe.send, "pong", "-", 0, "null")

    def stop(self) -> None:
        """Let `serve` return."""
        self._stopped = True
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _start_task(self, call_id: str, payload: bytes) -> None:
        task = self._loop.create_task(self._answer(call_id, payload))
        self._tasks[call_id] = task
        task.add_done_callback(lambda task: self._end_task(call_id, task))

    def _cancel_task(self, call_id: str) -> None:
        if call_id in self._tasks:
            self._tasks[call_id].cancel()

    def _end_task(self, call_id: str, task: asyncio.Task[None]) -> None:
        del self._tasks[call_id]
        if task.cancelled():  # before it had begun, so that it could not say so itself
            self._answers.send_exception(call_id, perf_counter(), asyncio.CancelledError())

    async def _answer(self, call_id: str, payload: bytes) -> None:
        started = perf_counter()
        try:
            positional, named = self._target.read_payload(decode(payload.decode("ascii")))
            started = perf_counter()
            with self._recorder.call(call_id):
                value = await self._target.function(*positional, **named)
        except BaseException as error:
            self._answers.send_exception(call_id, started, error)
        else:
            self._answers.send_value(call_id, started, value)


def _wait_for(awaitable: Awaitable[object]) -> object:
    """Run what a plain function returned to be awaited (a wrapped async function, say)."""
    import asyncio  # noqa: PLC0415 - 60 ms that hardly any target of this kind needs

    async def wait() -> object:
        return await awaitable

    return asyncio.run(wait())


class ThreadServer:
    """Calls in threads."""

    def __init__(self, target: Target, pipe: Pipe, recorder: Recorder, threads: int) -> None:
        self._target = target
        self._pipe = pipe
        self._answers = ReplySender(target, pipe)
        self._recorder = recorder
        self._calls: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._threads = threads

    def serve(self) -> None:
        """Answer calls until told to stop."""
        for _ in range(self._threads):
            threading.Thread(target=self._work, daemon=True).start()
        self._stopped.wait()

    def start_call(self, call_id: str, payload: bytes) -> None:
        """Queue a call for the next idle thread."""
        self._calls.put((call_id, payload))

    def cancel_call(self, call_id: str) -> None:
        """Do nothing: a thread cannot be stopped, so the parent will kill this process."""

    def answer_ping(self) -> None:
        """Answer from the reading thread, which is silent while a call holds the interpreter."""
        self._pipe.send("pong", "-", 0, "null")

    def stop(self) -> None:
        """Let `serve` return."""
        self._stopped.set()

    def _work(self) -> None:
        while True:
            call_id, payload = self._calls.get()
            started = perf_counter()
            try:
                positional, named = self._target.read_payload(decode(payload.decode("ascii")))
                started = perf_counter()
                with self._recorder.call(call_id):
                    value = self._target.function(*positional, **named)
                    if hasattr(value, "__await__"):
                        value = _wait_for(value)
            except BaseException as error:
                self._answers.send_exception(call_id, started, error)
            else:
                self._answers.send_value(call_id, started, value)
