"""Serves an async function: every call is a task of one event loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import perf_counter

from evalkit.worker.pipe import Answers, Pipe, Target, decode
from evalkit.worker.tracing import Recorder


class TaskServer:
    """Calls as tasks."""

    def __init__(self, target: Target, pipe: Pipe, recorder: Recorder) -> None:
        self._target = target
        self._pipe = pipe
        self._answers = Answers(target, pipe)
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
            self._answers.give_exception(call_id, perf_counter(), asyncio.CancelledError())

    async def _answer(self, call_id: str, payload: bytes) -> None:
        started = perf_counter()
        try:
            positional, named = self._target.read_payload(decode(payload.decode("ascii")))
            started = perf_counter()
            with self._recorder.call(call_id):
                value = await self._target.function(*positional, **named)
        except BaseException as error:
            self._answers.give_exception(call_id, started, error)
        else:
            self._answers.give(call_id, started, value)
