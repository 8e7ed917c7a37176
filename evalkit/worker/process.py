"""Start a worker process, send it calls over its pipe, watch it, and kill it with all it started."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from evalkit.core.literals import Json
from evalkit.core.trial import AgentError
from evalkit.worker.launch import Launch, WorkerStartError, start_interpreter
from evalkit.worker.process_tree import kill_marked_processes, kill_process_tree
from evalkit.worker.streams import (
    ExitMonitor,
    LineProtocol,
    Reply,
    decode,
    decode_worker_reply,
    describe_exit,
)

PING_TIMEOUT_S = 0.5
"""How long a process may take to answer a ping; after that, its interpreter counts as blocked."""

CANCEL_GRACE_S = 0.5
"""How long a cancelled async call may take to end."""

DRAIN_TIMEOUT_S = 0.2
"""How long the pipes of a dead process are read, because a grandchild may keep them open."""

STOP_GRACE_S = 1.0
"""How long a process may take to finish after `bye`, for its own exit handlers."""

UNKNOWN_CAUSE = "Several calls were running in this process, and any of them may be the cause."


class _Call:
    """A call in flight and its spans; a call with a settled answer may still be running."""

    __slots__ = ("answer", "first_piece_s", "span_payload", "started")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answer: asyncio.Future[Reply | None] = loop.create_future()
        self.started = time.monotonic()
        self.first_piece_s: float | None = None
        self.span_payload: Json = None

    def measure(self) -> float:
        """Return the seconds since the call was sent."""
        return time.monotonic() - self.started

    def settle(self, reply: Reply | None) -> None:
        """Set the answer, unless the call has one already."""
        if not self.answer.done():
            self.answer.set_result(reply)


_OVERDUE = Reply()  # settles a call at its deadline; compared by identity


class WorkerProcess:
    """A process that serves calls to its target. It accepts no more calls once it is retired or broken."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self.description: Mapping[str, Json] = {}
        self.is_accepting = False
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[WorkerStartError | None] = self._loop.create_future()
        self._pong: asyncio.Future[None] = self._loop.create_future()
        self._calls: dict[bytes, _Call] = {}
        self._count = 0
        self._inputs: tuple[Json, ...] = ()
        self._have_calls_ended = False
        self._kills_marked = True
        self._killing: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._transport.get_pid()

    @property
    def has_ended(self) -> bool:
        """Whether the process and everything it started are gone."""
        return self._reaping.done()

    @classmethod
    async def start(cls, launch: Launch, load_timeout_s: float) -> WorkerProcess:
        """Start a process and wait until it has loaded its target.

        Raises:
            WorkerStartError: it has failed, or has not loaded its target in time.
        """
        process = cls(launch)
        try:
            await process._spawn()
        except OSError as error:
            raise WorkerStartError(f"no process can be started: {error.strerror}.") from error
        try:
            failure = await process._wait_until_ready(load_timeout_s)
        except BaseException:
            await process.stop()
            raise
        if failure is not None:
            await process.stop()
            raise failure
        return process

    async def _spawn(self) -> None:
        (self._pipe, self._lines), (self._transport, self._exit_monitor) = await start_interpreter(
            self._launch, lambda: LineProtocol(self._receive_line), ExitMonitor
        )
        self._reaping = self._loop.create_task(self._reap())

    async def _wait_until_ready(self, load_timeout_s: float) -> WorkerStartError | None:
        ends: set[asyncio.Future[Any]] = {self._ready, self._reaping}
        await asyncio.wait(ends, timeout=load_timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if self._ready.done():
            return self._ready.result()
        if self._reaping.done():
            end = describe_exit(self._transport.get_returncode())
            output = self._exit_monitor.output_tail
            return WorkerStartError(f"its process {end} while loading it.", detail=output)
        self.kill()
        return WorkerStartError("it was not loaded in time.")

    async def run(self, payload: bytes, timeout_s: float) -> Reply | None:
        """Make one call; return None if the process ended before the call began.

        The error of the reply is retryable if the process died or froze with several calls in flight,
        because any of them may be the cause.
        """
        if not self.is_accepting:
            return None
        self._count += 1
        call_id = b"%d" % self._count
        call = self._calls[call_id] = _Call(self._loop)
        self._pipe.write(b"call %b %b\n" % (call_id, payload))
        # Not asyncio.timeout: an overdue call continues until a ping shows whether the process is frozen.
        timer = self._loop.call_later(timeout_s, call.settle, _OVERDUE)
        try:
            reply = await call.answer
        except asyncio.CancelledError:
            self._give_up(call_id)
            raise
        finally:
            timer.cancel()
        if reply is _OVERDUE:
            reply = await self._end_overdue(call_id, timeout_s)
        return reply and replace(
            reply,
            first_piece_s=call.first_piece_s,
            span_payload=call.span_payload,
            inputs=self._inputs,
        )

    def _give_up(self, call_id: bytes) -> None:
        """Cancel an async call whose answer is no longer needed, or else retire the process."""
        if call_id not in self._calls or self._pipe.is_closing():
            return
        if self.description.get("is_async"):
            self._pipe.write(b"cancel %b\n" % call_id)
            self._loop.call_later(CANCEL_GRACE_S, self._retire_if_running, call_id)
        else:
            self.retire()

    def _retire_if_running(self, call_id: bytes) -> None:
        if call_id in self._calls:
            self.retire()

    async def _end_overdue(self, call_id: bytes, timeout_s: float) -> Reply:
        error = AgentError(kind="timeout", message=f"no answer within {timeout_s:g} s.")
        # A process that answers is not frozen: only this call is slow.
        if await self._answers_ping() or call_id not in self._calls:
            self._give_up(call_id)
        else:
            if len(self._calls) > 1:
                error = _with_unknown_cause(error)
            self._end_calls("its process was frozen when a call was over its deadline.")
            self.kill()
        return Reply(error=error, duration_s=timeout_s, inside_s=timeout_s)

    async def _answers_ping(self) -> bool:
        if self._pong.done():
            self._pong = self._loop.create_future()
        pong = self._pong
        if not self._pipe.is_closing():
            self._pipe.write(b"ping\n")
        await asyncio.wait(
            (pong, self._reaping), timeout=PING_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
        )
        return pong.done()

    def retire(self) -> None:
        """Accept no more calls, and end when those in flight have been answered."""
        self.is_accepting = False
        if all(call.answer.done() for call in self._calls.values()):
            self.kill()

    def kill(self) -> None:
        """Start to kill the process and everything it started."""
        self.is_accepting = False
        if self._killing is None and not self._reaping.done():
            self._killing = self._loop.create_task(kill_process_tree(self.pid))

    async def stop(self, *, kills_marked: bool = True) -> None:
        """Let the process finish and run its exit handlers; kill it if it does not finish in time.

        With `kills_marked` False, processes with this one's mark that left its session are not
        searched: the caller does that once for many processes.
        """
        self.is_accepting, self._kills_marked = False, kills_marked
        if self._calls or self._pipe.is_closing():
            self.kill()
        else:
            self._pipe.write(b"bye\n")
        await asyncio.wait({self._reaping}, timeout=STOP_GRACE_S)
        self.kill()
        await self._reaping

    def _receive_line(self, line: bytes) -> None:
        try:
            kind, call_id, inside, text = line.split(b" ", 3)
            if kind in (b"value", b"error"):
                self._receive_reply(call_id, kind, float(inside), text)
            elif kind == b"piece":
                if call_id in self._calls and self._calls[call_id].first_piece_s is None:
                    self._calls[call_id].first_piece_s = self._calls[call_id].measure()
            elif kind == b"spans":
                if call_id in self._calls:
                    self._calls[call_id].span_payload = decode(text.decode("ascii"))
            elif kind == b"inputs":
                self._inputs += (decode(text.decode("ascii")),)
            elif kind == b"pong":
                if not self._pong.done():  # one pong answers all pings sent at the same time
                    self._pong.set_result(None)
            else:
                self._receive_readiness(kind, decode(text.decode("ascii")))
        except (ValueError, KeyError, TypeError, asyncio.InvalidStateError):
            self._pipe.close()  # the target has written to the pipe: no line can be trusted

    def _receive_reply(self, call_id: bytes, kind: bytes, inside_s: float, text: bytes) -> None:
        call = self._calls.pop(call_id, None)
        if call is not None:
            # Before the reply is decoded, which may take long.
            duration_s = call.measure()
            reply = decode_worker_reply(kind, inside_s, text)
            call.settle(replace(reply, duration_s=duration_s))
            if not self.is_accepting:
                self.retire()

    def _receive_readiness(self, kind: bytes, content: Json) -> None:
        if kind == b"ready":
            self.description = content
            self.is_accepting = True
            self._ready.set_result(None)
        else:
            self._ready.set_result(WorkerStartError(*content["reasons"], detail=content["detail"]))

    async def _reap(self) -> None:
        """Wait for the end of the process, for any reason, and kill what it left behind."""
        try:
            await asyncio.wait(
                {self._exit_monitor.exited, self._lines.lost}, return_when=asyncio.FIRST_COMPLETED
            )
            self.is_accepting = False
            await asyncio.wait(
                {self._exit_monitor.closed, self._lines.lost}, timeout=DRAIN_TIMEOUT_S
            )
            message = f"its process {describe_exit(self._transport.get_returncode())}."
            self._end_calls(message, self._exit_monitor.output_tail)
            await (self._killing or kill_process_tree(self.pid, grace_s=0))
            if self._kills_marked:
                kill_marked_processes(self._launch.mark)
            await self._exit_monitor.exited
        finally:
            self._pipe.close()
            self._transport.close()
        await asyncio.wait({self._exit_monitor.closed, self._lines.lost})

    def _end_calls(self, message: str, detail: str = "") -> None:
        """Settle the calls in flight as crashed, which one of them has caused."""
        if self._have_calls_ended:
            return
        self._have_calls_ended = True
        error = AgentError(kind="crashed", message=message, detail=detail)
        if len(self._calls) > 1:
            error = _with_unknown_cause(error)
        for call in self._calls.values():
            call.settle(Reply(error=error, duration_s=call.measure(), inside_s=call.measure()))


def _with_unknown_cause(error: AgentError) -> AgentError:
    return replace(error, message=f"{error.message} {UNKNOWN_CAUSE}", retryable=True)
