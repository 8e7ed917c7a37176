"""One worker process: started, asked over its pipe, watched, and killed with all that it started."""

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

import evalkit
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
"""How long a process may leave a ping unanswered; longer, and something holds its interpreter."""

CANCEL_GRACE_S = 0.5
"""How long a cancelled async call may take to end."""

DRAIN_TIMEOUT_S = 0.2
"""How long the pipes of a dead process are read on, which a grandchild may hold open."""

STOP_GRACE_S = 1.0
"""How long a process that was told to finish may take, for its own exit handlers."""

PROGRAM = """\
import sys
sys.path.insert(0, {package!r})
import evalkit
del sys.path[0]
from evalkit.worker.main import main
main({descriptor})
"""
"""Finds this very evalkit, however this process found it, and leaves the search path as it was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """How a worker process is started: `setup` is what it is told to load, `mark` is its alone."""

    setup: Mapping[str, Json]
    folder: Path
    environ: Mapping[str, str]
    mark: str


class WorkerStartError(Exception):
    """The process could not be started or could not load its target: all reasons, and a traceback."""

    def __init__(self, *reasons: str, detail: str = "") -> None:
        super().__init__(*reasons)
        self.reasons = reasons
        self.detail = detail


class _Call:
    """A call in flight, and the steps it told of; one whose answer is settled may still be running."""

    __slots__ = ("answer", "span_payload", "started")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answer: asyncio.Future[Reply | None] = loop.create_future()
        self.started = loop.time()
        self.span_payload: Json = None

    def settle(self, reply: Reply | None) -> None:
        """Give the answer, unless nobody waits for it any more."""
        if not self.answer.done():
            self.answer.set_result(reply)


_OVERDUE = Reply()
"""Settles a call at its deadline."""


class WorkerProcess:
    """A process that serves calls to its target. It accepts none once it is retired or broken."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self.description: Mapping[str, Json] = {}
        self.is_accepting = False
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[WorkerStartError | None] = self._loop.create_future()
        self._pong: asyncio.Future[None] = self._loop.create_future()
        self._calls: dict[bytes, _Call] = {}
        self._count = 0
        self._one_is_to_blame: bool | None = None
        self._killing: asyncio.Task[None] | None = None

    @property
    def load(self) -> int:
        """How many calls are in flight."""
        return len(self._calls)

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left of it."""
        return self._reaping.done()

    @classmethod
    async def start(cls, launch: Launch, load_timeout_s: float) -> WorkerProcess:
        """Start a process and wait until it has loaded its target.

        Raises:
            CannotStart: it has not.
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
        ours, theirs = socket.socketpair()
        with theirs:
            self._pipe, self._lines = await self._loop.create_connection(
                lambda: LineProtocol(self._receive_line), sock=ours
            )
            package = str(Path(evalkit.__file__).parent.parent)
            try:
                self._transport, self._exit_monitor = await self._loop.subprocess_exec(
                    ExitMonitor,
                    sys.executable,
                    "-P",  # the folder it starts in must not shadow what it imports itself
                    "-c",
                    PROGRAM.format(package=package, descriptor=theirs.fileno()),
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    cwd=self._launch.folder,
                    env={**self._launch.environ, MARK_VARIABLE: self._launch.mark},
                    start_new_session=True,
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
            said = self._exit_monitor.output_tail
            return WorkerStartError(f"its process {end} while loading it.", detail=said)
        self.kill()
        return WorkerStartError(f"it was not loaded within {load_timeout_s:g} s.")

    async def run(self, payload: bytes, timeout_s: float) -> Reply | None:
        """Make one call; None when the process ended and other calls may be to blame for it."""
        if not self.is_accepting:
            return None
        self._count += 1
        call_id = b"%d" % self._count
        call = self._calls[call_id] = _Call(self._loop)
        self._pipe.write(b"call %b %b\n" % (call_id, payload))
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
        return (
            replace(reply, span_payload=call.span_payload) if reply and call.span_payload else reply
        )

    def _give_up(self, call_id: bytes) -> None:
        """Let a call end that nobody waits for: an async one is cancelled, else the process goes."""
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
        """Charge a call with its deadline, unless the process is frozen and any call may be why."""
        error = AgentError(kind="timeout", message=f"no answer within {timeout_s:g} s.")
        overdue = Reply(error=error, duration_s=timeout_s)
        if await self._answers_ping() or call_id not in self._calls:
            self._give_up(call_id)
            return overdue
        self._end_calls(error)
        self.kill()
        return overdue if self._one_is_to_blame else None

    async def _answers_ping(self) -> bool:
        if self._pong.done():
            self._pong = self._loop.create_future()
        pong = self._pong
        if not self._pipe.is_closing():
            self._pipe.write(b"ping\n")
        await asyncio.wait(
            (pong, self._reaping),
            timeout=PING_TIMEOUT_S,
            return_when=asyncio.FIRST_COMPLETED,
        )
        return pong.done()

    def retire(self) -> None:
        """Accept no more calls, and end when those in flight have been answered."""
        self.is_accepting = False
        if all(call.answer.done() for call in self._calls.values()):
            self.kill()

    def kill(self) -> None:
        """Begin to kill the process with all that it started."""
        self.is_accepting = False
        if self._killing is None and not self._reaping.done():
            self._killing = self._loop.create_task(kill_process_tree(self._transport.get_pid()))

    async def stop(self) -> None:
        """Let the process finish, with its exit handlers; kill it where it does not."""
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
            elif kind == b"pong":
                if not self._pong.done():  # one answer is enough for all who ask at the same time
                    self._pong.set_result(None)
            else:
                self._receive_readiness(kind, decode(text.decode("ascii")))
        except (ValueError, KeyError, TypeError, asyncio.InvalidStateError):
            self._pipe.close()  # somebody else has written there: nothing on it can be trusted

    def _receive_reply(self, call_id: bytes, reply: Reply) -> None:
        call = self._calls.pop(call_id, None)
        if call is not None:
            call.settle(reply)
            if not self.is_accepting:
                self.retire()

    def _receive_readiness(self, kind: bytes, said: Json) -> None:
        if kind == b"ready":
            self.description = said
            self.is_accepting = True
            self._ready.set_result(None)
        else:
            self._ready.set_result(WorkerStartError(*said["reasons"], detail=said["detail"]))

    async def _reap(self) -> None:
        """Wait for the end of the process, however it comes about, and leave nothing of it."""
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
        """Charge the one call in flight; of several any may be to blame, and none is charged yet."""
        if self._one_is_to_blame is not None:
            return
        self._one_is_to_blame = len(self._calls) == 1
        for call in self._calls.values():
            duration_s = self._loop.time() - call.started
            charged = Reply(error=error, duration_s=duration_s)
            call.settle(charged if self._one_is_to_blame else None)
