"""Run a command within a deadline and an output limit; return its output and how it ended."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, TypeAlias

from evalkit.core.limits import MAX_DETAIL_CHARS, MAX_REPLY_BYTES
from evalkit.worker.environment import MARK_VARIABLE
from evalkit.worker.process_tree import (
    count_session_processes,
    kill_marked_processes,
    kill_process_tree,
)

MAX_STDERR_BYTES = 4 * MAX_DETAIL_CHARS
"""The bytes to keep of the end of stderr, where errors are; a UTF-8 character has at most 4."""

CHUNK_BYTES = 65_536
"""The capacity of a pipe on Linux (pipe(7))."""

KILL_GRACE_S = 0.5
"""The time between SIGTERM and SIGKILL for a command that is over its deadline."""

DRAIN_S = 0.25
"""How long to read a pipe that other processes keep open after the command itself has exited."""

PROCESS_COUNT_INTERVAL_S = 0.25
"""The time between two counts of a command's processes, if they are limited."""

EXIT_POLL_S = 0.01
REAP_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A program with its arguments, its folder, and an environment that contains its mark."""

    program: str
    argv: tuple[bytes, ...]
    folder: Path
    environ: Mapping[str, str]

    @property
    def mark(self) -> str:
        """The text that identifies the processes of this call."""
        return self.environ[MARK_VARIABLE]


ExitReason: TypeAlias = Literal["exited", "timeout", "output_too_large", "too_many_processes"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandResult:
    """How a command ended. `status` is negative for a signal, and None if it could not be reaped."""

    exit_reason: ExitReason
    status: int | None
    stdout: bytes
    stderr_tail: bytes
    latency_s: float


async def run_command(
    command: Command, stdin: bytes | None, *, timeout_s: float, max_processes: int | None = None
) -> CommandResult:
    """Run a command in a session of its own, and kill everything it started.

    If the command exits by itself, a process that left the session and closed its pipes survives; it
    still has the mark. With `stdin` None the command gets an empty stdin. A session
    with more than `max_processes` is killed.

    Raises:
        OSError: the command could not be started.
    """
    child = _Child(command, stdin, max_processes)
    reason: ExitReason = "exited"
    try:
        in_time = await child.wait_until_settled(timeout_s)
        latency_s = time.monotonic() - child.started
        if not in_time:
            reason = "timeout"
            await child.kill(grace_s=KILL_GRACE_S)
        elif child.has_too_many_processes:
            reason = "too_many_processes"
            await child.kill(grace_s=0)
        elif not child.is_over_limit:
            await child.kill_leftovers()
        # Not `elif`: killing the leftovers reads what is still in the pipes.
        if in_time and child.is_over_limit:
            reason = "output_too_large"
            await child.kill(grace_s=0)
    except BaseException:
        await child.kill(grace_s=0)
        raise
    finally:
        child.close()
    return CommandResult(
        exit_reason=reason,
        status=child.status,
        stdout=bytes(child.stdout),
        stderr_tail=bytes(child.stderr_tail),
        latency_s=latency_s,
    )


class _Child:
    """A running command. It is settled once it has exited or has broken a limit."""

    def __init__(self, command: Command, stdin: bytes | None, max_processes: int | None) -> None:
        self.started = time.monotonic()
        self.stdout = bytearray()
        self.stderr_tail = b""
        self.is_over_limit = False
        self.has_too_many_processes = False
        self._mark = command.mark
        self._settled = asyncio.Event()
        self._process = subprocess.Popen(
            command.argv,
            executable=command.program,
            bufsize=0,  # the pipes are read with os.read
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=command.folder,
            env=command.environ,
            start_new_session=True,  # the session is killed as a whole
        )
        self._stdin_writer = _PipeWriter(self._process.stdin, stdin or b"")
        self._output_readers = (
            _PipeReader(self._process.stdout, self._receive_stdout),
            _PipeReader(self._process.stderr, self._receive_stderr),
        )
        self._watchers = [asyncio.ensure_future(self._watch_exit())]
        if max_processes is not None:
            self._watchers.append(asyncio.ensure_future(self._watch_process_count(max_processes)))

    @property
    def status(self) -> int | None:
        return self._process.returncode

    def _receive_stdout(self, chunk: bytes) -> None:
        self.stdout += chunk
        if len(self.stdout) > MAX_REPLY_BYTES:
            self.is_over_limit = True
            self._output_readers[0].close()
            self._settled.set()

    def _receive_stderr(self, chunk: bytes) -> None:
        self.stderr_tail = (self.stderr_tail + chunk)[-MAX_STDERR_BYTES:]

    async def _watch_exit(self) -> None:
        # asyncio's subprocesses take twice the time and, before Python 3.12, a thread each. They also
        # reap the process at once, and then its id may be reused before its group is killed.
        try:
            descriptor = os.pidfd_open(self._process.pid)
        except (AttributeError, OSError):  # not Linux, an old kernel, or no descriptor left
            while self._process.poll() is None:  # noqa: ASYNC110 - no event is available
                await asyncio.sleep(EXIT_POLL_S)
        else:
            loop, exited = asyncio.get_running_loop(), asyncio.Event()
            loop.add_reader(descriptor, exited.set)
            try:
                await exited.wait()
            finally:
                loop.remove_reader(descriptor)
                os.close(descriptor)
        self._settled.set()

    async def _watch_process_count(self, maximum: int) -> None:
        while True:
            await asyncio.sleep(PROCESS_COUNT_INTERVAL_S)
            if count_session_processes(self._process.pid) > maximum:
                self.has_too_many_processes = True
                self._settled.set()
                return

    async def wait_until_settled(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        except TimeoutError:
            return False
        return True

    async def kill(self, *, grace_s: float) -> None:
        """Kill the command and everything it started, in any session."""
        try:
            await kill_process_tree(self._process.pid, grace_s=grace_s)
        finally:
            kill_marked_processes(self._mark)

    async def kill_leftovers(self) -> None:
        """Read the rest of the pipes of a command that exited, and kill what it left behind."""
        drained = await self._drain()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        if not drained and not await self._drain():
            kill_marked_processes(self._mark)
            await self._drain()

    async def _drain(self) -> bool:
        try:
            async with asyncio.timeout(DRAIN_S):
                for reader in self._output_readers:
                    await reader.ended.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Close the pipes and reap the process, which is dead or dying."""
        for watcher in self._watchers:
            watcher.cancel()
        self._stdin_writer.close()
        for reader in self._output_readers:
            reader.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(REAP_S)


class _PipeReader:
    """Reads a pipe until every process has closed the other end."""

    def __init__(self, pipe: IO[bytes] | None, on_data: Callable[[bytes], None]) -> None:
        assert pipe is not None  # noqa: S101 - Popen got PIPE
        self._pipe = pipe
        self._on_data = on_data
        self.ended = asyncio.Event()
        os.set_blocking(pipe.fileno(), False)
        asyncio.get_running_loop().add_reader(pipe.fileno(), self._read)

    def _read(self) -> None:
        try:
            chunk = os.read(self._pipe.fileno(), CHUNK_BYTES)
        except BlockingIOError:
            return
        if chunk:
            self._on_data(chunk)
        else:
            self.close()

    def close(self) -> None:
        if not self._pipe.closed:
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            self._pipe.close()
            self.ended.set()


class _PipeWriter:
    """Writes data to a pipe as fast as it is read; the other end may close early."""

    def __init__(self, pipe: IO[bytes] | None, data: bytes) -> None:
        self._pipe = pipe
        self._left = memoryview(data)
        if pipe is not None:
            os.set_blocking(pipe.fileno(), False)
            self._write(pipe)
            if self._left:
                asyncio.get_running_loop().add_writer(pipe.fileno(), self._write, pipe)

    def _write(self, pipe: IO[bytes]) -> None:
        try:
            written = os.write(pipe.fileno(), self._left[:CHUNK_BYTES])
        except BlockingIOError:
            return
        except BrokenPipeError:
            written = len(self._left)
        self._left = self._left[written:]
        if not self._left:
            self.close()

    def close(self) -> None:
        if self._pipe is not None and not self._pipe.closed:
            asyncio.get_running_loop().remove_writer(self._pipe.fileno())
            self._pipe.close()
