"""Run the calls to a target.

A sync function runs in the main thread, one call at a time, or in threads if it is known to be
thread-safe. The calls of an async function are tasks of one event loop.
"""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from evalkit.worker.pieces import announce_first_piece
from evalkit.worker.pipe import Json, Pipe, ReplyTooLong, decode, encode, encode_reply
from evalkit.worker.returned import Finisher, finish_async
from evalkit.worker.user_code import (
    BadReply,
    CallArguments,
    describe_exception,
    format_user_traceback,
)

if TYPE_CHECKING:
    import asyncio

SpanContext: TypeAlias = Callable[[str], AbstractContextManager[None]]
"""Records the spans of the call with this id while the context is open."""


class Target(Protocol):
    """The object that is called, and the conversion of its arguments and its return value."""

    function: Callable[..., Any]
    is_async: bool
    description: dict[str, Json]

    def read_payload(self, payload: Json) -> CallArguments:
        """Return a payload as positional and named arguments."""

    def to_json(self, value: object) -> Json:
        """Return what a call returned as JSON; raise BadReply if it may not return that."""


class _Server:
    """The common part of both servers: read the payload of a call, and send its result."""

    def __init__(self, target: Target, pipe: Pipe, record_spans: SpanContext) -> None:
        self._target = target
        self._record_spans = record_spans
        self._send = pipe.send

    def _read_payload(self, payload: bytes) -> CallArguments:
        return self._target.read_payload(decode(payload.decode("ascii")))

    def _announce_first_piece(self, call_id: str) -> None:
        """Announce the first piece of the call in this context, if it yields any."""
        announce_first_piece.set(lambda: self._send("piece", call_id, 0, "null"))

    def answer_ping(self) -> None:
        """Show that calls can run."""
        self._send("pong", "-", 0, "null")

    def _send_value(self, call_id: str, started: float, value: object) -> None:
        """Send what a call returned, or why that is not a valid reply."""
        duration_s = perf_counter() - started
        try:
            text = encode_reply(self._target.to_json(value))
        except ReplyTooLong as large:
            self._send_error(call_id, duration_s, "output_too_large", str(large))
        except BadReply as bad:
            self._send_error(call_id, duration_s, "bad_reply", str(bad))
        except BaseException as error:
            message = f"the reply cannot be written as JSON: {describe_exception(error)}"
            self._send_error(call_id, duration_s, "bad_reply", message)
        else:
            self._send("value", call_id, duration_s, text)

    def _send_exception(self, call_id: str, started: float, error: BaseException) -> None:
        """Send what a call raised, SystemExit and KeyboardInterrupt included."""
        duration_s = perf_counter() - started
        detail = format_user_traceback(error)
        self._send_error(call_id, duration_s, "exception", describe_exception(error), detail)

    def _send_error(
        self, call_id: str, duration_s: float, kind: str, message: str, detail: str = ""
    ) -> None:
        text = encode({"kind": kind, "message": message, "detail": detail})
        self._send("error", call_id, duration_s, text)


class TaskServer(_Server):
    """Run calls of an async function as tasks. Every method but `serve` runs in the reading thread."""

    def __init__(self, target: Target, pipe: Pipe, record_spans: SpanContext) -> None:
        import asyncio  # noqa: PLC0415 - takes 60 ms, which a sync target does not need

        super().__init__(target, pipe, record_spans)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._cancelled_error = asyncio.CancelledError  # for the methods that do not import asyncio
        self._stopped = False

    def serve(self) -> None:
        """Answer calls until `stop` is called."""
        while not self._stopped:
            # A task that the target itself started ends the loop if it raises SystemExit.
            with suppress(BaseException):
                self._loop.run_forever()

    def start_call(self, call_id: str, payload: bytes) -> None:
        """Start a task."""
        self._loop.call_soon_threadsafe(self._start_task, call_id, payload)

    def cancel_call(self, call_id: str) -> None:
        """Cancel a task, which sends its result when it has ended."""
        self._loop.call_soon_threadsafe(self._cancel_task, call_id)

    def answer_ping(self) -> None:
        """Answer from the event loop, so that a blocked loop does not answer."""
        self._loop.call_soon_threadsafe(super().answer_ping)

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
        if task.cancelled():  # before it began, so that `_answer` could not send anything
            self._send_exception(call_id, perf_counter(), self._cancelled_error())

    async def _answer(self, call_id: str, payload: bytes) -> None:
        started = perf_counter()
        try:
            positional, named = self._read_payload(payload)
            started = perf_counter()  # again: reading the payload is not the target's time
            self._announce_first_piece(call_id)
            with self._record_spans(call_id):
                value = await finish_async(self._target.function(*positional, **named))
        except BaseException as error:
            self._send_exception(call_id, started, error)
        else:
            self._send_value(call_id, started, value)


class MainThreadServer(_Server):
    """Run calls of a sync function in the main thread, one after the other.

    There, code may use event loops, signal handlers, and objects that only their own thread may use.
    Every method but `serve` runs in the reading thread.
    """

    def __init__(self, target: Target, pipe: Pipe, record_spans: SpanContext) -> None:
        super().__init__(target, pipe, record_spans)
        self._calls: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()

    def serve(self) -> None:
        """Answer calls until `stop` is called."""
        finisher = Finisher()
        is_serving = True
        while is_serving:
            # A signal handler that the target has set may raise between two calls.
            with suppress(BaseException):
                call = self._calls.get()
                if call is None:
                    is_serving = False
                else:
                    # In a context of its own, like a task, so that no call sees another's variables.
                    contextvars.copy_context().run(self._answer, *call, finisher)

    def start_call(self, call_id: str, payload: bytes) -> None:
        """Queue a call for the main thread."""
        self._calls.put((call_id, payload))

    def cancel_call(self, call_id: str) -> None:
        """Do nothing: a running function cannot be stopped, so the parent will kill this process."""

    def stop(self) -> None:
        """Let `serve` return."""
        self._calls.put(None)

    def _answer(self, call_id: str, payload: bytes, finisher: Finisher) -> None:
        started = perf_counter()
        try:
            positional, named = self._read_payload(payload)
            started = perf_counter()  # again: reading the payload is not the target's time
            self._announce_first_piece(call_id)
            with self._record_spans(call_id):
                value = finisher.finish(self._target.function(*positional, **named))
        except BaseException as error:
            self._send_exception(call_id, started, error)
        else:
            self._send_value(call_id, started, value)


class ThreadServer(MainThreadServer):
    """Run calls of a sync function in threads. Every method but `serve` runs in the reading thread."""

    def __init__(self, target: Target, pipe: Pipe, record_spans: SpanContext, threads: int) -> None:
        super().__init__(target, pipe, record_spans)
        self._stopped = threading.Event()
        self._threads = threads

    def serve(self) -> None:
        """Answer calls until `stop` is called."""
        # Daemon threads, because a call that hangs must not prevent the process from ending.
        for _ in range(self._threads):
            threading.Thread(target=super().serve, daemon=True).start()
        self._stopped.wait()

    def stop(self) -> None:
        """Let `serve` return."""
        self._stopped.set()
