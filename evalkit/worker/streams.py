"""Receive what a worker process sends: lines on its pipe, the end of its output, and its exit."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from dataclasses import dataclass

from evalkit.core.limits import MAX_DETAIL_CHARS, MAX_REPLY_BYTES
from evalkit.core.literals import Json
from evalkit.core.safe_text import tail
from evalkit.core.trial import AgentError

MAX_LINE_BYTES = 8 * MAX_REPLY_BYTES
"""The longest line on the pipe; escapes can make the largest reply six times as long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """The result of one call.

    `duration_s` is the time from the request to the reply, as this process measures it, and
    `first_piece_s` that to the first piece of a streamed reply. `inside_s` is the time in the target as
    its own process reports it, which could be wrong: only the number of processes depends on it.
    `span_payload` holds the spans of the call as the worker sends them; None if there were none.
    `inputs` has what the process has read so far, if the worker records it; see `input_log`.
    """

    value: Json = None
    error: AgentError | None = None
    duration_s: float = 0.0
    first_piece_s: float | None = None
    inside_s: float = 0.0
    span_payload: Json = None
    inputs: tuple[Json, ...] = ()


def _refuse_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def decode_worker_reply(kind: bytes, inside_s: float, text: bytes) -> Reply:
    """Return the reply in the last part of a `value` or `error` line, without its times here.

    Raises:
        KeyError, TypeError: the line does not come from a worker.
    """
    try:
        value = decode(text.decode("ascii"))
    except (ValueError, RecursionError) as wrong:
        message = f"the reply cannot be read as JSON: {wrong}."
        return Reply(error=AgentError(kind="bad_reply", message=message), inside_s=inside_s)
    if kind == b"value":
        return Reply(value=value, inside_s=inside_s)
    detail = tail(value["detail"], MAX_DETAIL_CHARS)
    error = AgentError(kind=value["kind"], message=value["message"], detail=detail)
    return Reply(error=error, inside_s=inside_s)


class LineProtocol(asyncio.Protocol):
    """Splits the data from the pipe into lines."""

    def __init__(self, take_line: Callable[[bytes], None]) -> None:
        self.lost = asyncio.get_running_loop().create_future()
        self._receive_line = take_line
        self._parts: list[bytes] = []
        self._size = 0
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, to close it if a line is too long."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Pass on complete lines; data may hold a part of a line or many lines."""
        self._parts.append(data)
        self._size += len(data)
        if b"\n" in data:
            *lines, rest = b"".join(self._parts).split(b"\n")
            self._parts, self._size = [rest], len(rest)
            for line in lines:
                self._receive_line(line)
        # Only a target that writes to the pipe itself can send such a line.
        elif self._size > MAX_LINE_BYTES and self._transport is not None:
            self._transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        """Report that the pipe is closed."""
        self.lost.set_result(None)


class ExitMonitor(asyncio.SubprocessProtocol):
    """Watches for the exit of the process and keeps only the end of its output."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.exited = loop.create_future()
        self.closed = loop.create_future()
        self._tails = {1: b"", 2: b""}

    def pipe_data_received(self, descriptor: int, data: bytes) -> None:
        """Keep the end of stdout and of stderr; a character takes at most four bytes."""
        self._tails[descriptor] = (self._tails[descriptor] + data)[-4 * MAX_DETAIL_CHARS :]

    def process_exited(self) -> None:
        """Report that the process has ended; other processes may still keep its pipes open."""
        self.exited.set_result(None)

    def connection_lost(self, _error: Exception | None) -> None:
        """Report that the process has ended and its pipes are closed."""
        self.closed.set_result(None)

    @property
    def output_tail(self) -> str:
        """The end of stderr, or of stdout if stderr is empty."""
        output = self._tails[2].strip() or self._tails[1].strip()
        return tail(output.decode("utf-8", "replace"), MAX_DETAIL_CHARS)


def describe_exit(status: int | None) -> str:
    """Return how a process ended, as a verb phrase; with `status` None it is still running."""
    if status is None:
        return "closed its pipe to evalkit"
    if status >= 0:
        return f"ended with exit code {status}"
    # The kernel ends processes with SIGKILL when memory runs out.
    hint = " (out of memory?)" if status == -signal.SIGKILL else ""
    return f"was ended by {name_signal(status)}{hint}"


def name_signal(status: int | None) -> str:
    """Return the name of the signal that ended a process, from its negative exit status."""
    try:
        return signal.Signals(-(status or 0)).name
    except ValueError:
        return f"signal {-(status or 0)}"
