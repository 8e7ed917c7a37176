"""Start a worker process, send it calls over its pipe, watch it, and kill it with all it started."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evalkit.core.literals import Json
from evalkit.core.trial import AgentError
from evalkit.worker.process_tree import MARK_VARIABLE, kill_marked_processes, kill_process_tree
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

IMPORT_FOLDER = str(Path(__file__).parents[2])
"""The folder that contains the package evalkit."""

PROGRAM = """\
import sys
sys.path.insert(0, {package!r})
import evalkit
del sys.path[0]
from evalkit.worker.main import main
main({descriptor})
"""
"""Import this installation of evalkit, however this process found it, and restore the search path."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """How a worker process is started: `setup` is what it loads, `mark` identifies this process only."""

    setup: Mapping[str, Json]
    folder: Path
    environ: Mapping[str, str]
    mark: str


class WorkerStartError(Exception):
    """The process could not be started or could not load its target; has every reason and a traceback."""

    def __init__(self, *reasons: str, detail: str = "") -> None:
        super().__init__(*reasons)
        self.reasons = reasons
        self.detail = detail


class _Call:
    """A call in flight and its spans; a call with a settled answer may still be running."""

    __slots__ = ("answer", "span_payload", "started")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answer: asyncio.Future[Reply | None] = loop.create_future()
        self.started = loop.time()
        self.span_payload: Json = None

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
        # None until the process dies or freezes; then whether exactly one call was in flight.
        self._had_one_call: bool | None = None
        self._killing: asyncio.Task[None] | None = None

    @property
    def load(self) -> int:
        """The number of calls in flight."""
        return len(self._calls)

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
        parent_end, child_end = socket.socketpair()
        with child_end:
            self._pipe, self._lines = await self._loop.create_connection(
                lambda: LineProtocol(self._receive_line), sock=parent_end
            )
            try:
                self._transport, self._exit_monitor = await self._loop.subprocess_exec(
                    ExitMonitor,
                    sys.executable,
                    "-P",  # files in the working folder must not shadow evalkit's own imports
                    "-c",
                    PROGRAM.format(package=IMPORT_FOLDER, descriptor=child_end.fileno()),
                    stdin=subprocess.DEVNULL,
                    pass_fds=(child_end.fileno(),),
                    cwd=self._launch.folder,
                    env={**self._launch.environ, MARK_VARIABLE: self._launch.mark},
                    start_new_session=True,  # the session is killed as a whole
                )
            except BaseException:
                self._pipe.close()
                raise
        self._reaping = self._loop.create_task(self._reap())
        self._pipe.write(json.dumps(self._launch.setup).encode("ascii") + b"\n")

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
        """Make one call; return None if the process ended and another call may be the cause."""
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
        return reply and replace(reply, span_payload=call.span_payload, inputs=self._inputs)

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

    async def _end_overdue(self, call_id: bytes, timeout_s: float) -> Reply | None:
        """Return a timeout; return None if the process is frozen and another call may be the cause."""
        error = AgentError(kind="timeout", message=f"no answer within {timeout_s:g} s.")
        overdue = Reply(error=error, duration_s=timeout_s)
        # A process that answers is not frozen: only this call is slow.
        if await self._answers_ping() or call_id not in self._calls:
            self._give_up(call_id)
            return overdue
        self._end_calls(error)
        self.kill()
        return overdue if self._had_one_call else None

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
            self._killing = self._loop.create_task(kill_process_tree(self._transport.get_pid()))

    async def stop(self) -> None:
        """Let the process finish and run its exit handlers; kill it if it does not finish in time."""
        self.is_accepting = False
        if self._calls or self._pipe.is_closing():
            self.kill()
        else:
            self._pipe.write(b"bye\n")
        await asyncio.wait({self._reaping}, timeout=STOP_GRACE_S)
        self.kill()
        await self._reaping

    def _receive_line(self, line: bytes) -> None:
        try:
            kind, call_id, duration, text = line.split(b" ", 3)
            if kind in (b"value", b"error"):
                self._receive_reply(call_id, decode_worker_reply(kind, float(duration), text))
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

    def _receive_reply(self, call_id: bytes, reply: Reply) -> None:
        call = self._calls.pop(call_id, None)
        if call is not None:
            call.settle(reply)
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
            self._end_calls(
                AgentError(kind="crashed", message=message, detail=self._exit_monitor.output_tail)
            )
            await (self._killing or kill_process_tree(self._transport.get_pid(), grace_s=0))
            kill_marked_processes(self._launch.mark)
            await self._exit_monitor.exited
        finally:
            self._pipe.close()
            self._transport.close()
        await asyncio.wait({self._exit_monitor.closed, self._lines.lost})

    def _end_calls(self, error: AgentError) -> None:
        """Settle the only call in flight with the error; several calls get None and are repeated."""
        if self._had_one_call is not None:
            return
        self._had_one_call = len(self._calls) == 1
        for call in self._calls.values():
            reply = Reply(error=error, duration_s=self._loop.time() - call.started)
            call.settle(reply if self._had_one_call else None)
