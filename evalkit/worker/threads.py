"""Serves an object whose calls block, in as many threads as calls are made at once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Awaitable
from time import perf_counter

from evalkit.worker.pipe import Answers, Pipe, Target, decode
from evalkit.worker.tracing import Recorder


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
        self._answers = Answers(target, pipe)
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
                self._answers.give_exception(call_id, started, error)
            else:
                self._answers.give(call_id, started, value)
