"""What comes back from a worker process: lines on its pipe, the end of what it prints, its own end."""

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
"""Of the pipe; a reply of the largest size, all escapes, takes six times its size there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What became of one call; `duration_s` is the call's own time, without the way there and back.

    `told` are the steps the call told of, as the worker sends them; None when there were none.
    """

    value: Json = None
    error: AgentError | None = None
    duration_s: float = 0.0
    span_payload: Json = None


def _refuse_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def decode_worker_reply(kind: bytes, duration_s: float, text: bytes) -> Reply:
    """Read the last part of an answer's line.

    Raises:
        KeyError, TypeError: it is no answer of a worker's.
    """
    try:
        value = decode(text.decode("ascii"))
    except (ValueError, RecursionError) as error:
        message = f"the reply cannot be read as JSON: {error}."
        return Reply(error=AgentError(kind="bad_reply", message=message), duration_s=duration_s)
    if kind == b"value":
        return Reply(value=value, duration_s=duration_s)
    detail = tail(value["detail"], MAX_DETAIL_CHARS)
    trouble = AgentError(kind=value["kind"], message=value["message"], detail=detail)
    return Reply(error=trouble, duration_s=duration_s)


class LineProtocol(asyncio.Protocol):
    """The pipe to the process, split into lines."""

    def __init__(self, take_line: Callable[[bytes], None]) -> None:
        self.lost = asyncio.get_running_loop().create_future()
        self._receive_line = take_line
        self._parts: list[bytes] = []
        self._size = 0
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, to close it on a line without end."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take what has come; lines may come in pieces or many at once."""
        self._parts.append(data)
        self._size += len(data)
        if b"\n" in data:
            *lines, rest = b"".join(self._parts).split(b"\n")
            self._parts, self._size = [rest], len(rest)
            for line in lines:
                self._receive_line(line)
        elif self._size > MAX_LINE_BYTES and self._transport is not None:
            self._transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        """Tell that nothing more will come."""
        self.lost.set_result(None)


class ExitMonitor(asyncio.SubprocessProtocol):
    """The end of the process, and of what it printed the end; the rest is thrown away as it comes."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.exited = loop.create_future()
        self.closed = loop.create_future()
        self._tails = {1: b"", 2: b""}

    def pipe_data_received(self, descriptor: int, data: bytes) -> None:
        """Keep the end of stdout and of stderr; a character takes at most four bytes."""
        self._tails[descriptor] = (self._tails[descriptor] + data)[-4 * MAX_DETAIL_CHARS :]

    def process_exited(self) -> None:
        """Tell that the process has ended; others may hold its pipes open."""
        self.exited.set_result(None)

    def connection_lost(self, _error: Exception | None) -> None:
        """Tell that the process has ended and its pipes are closed."""
        self.closed.set_result(None)

    @property
    def output_tail(self) -> str:
        """The end of stderr, or of stdout where stderr is empty."""
        said = self._tails[2].strip() or self._tails[1].strip()
        return tail(said.decode("utf-8", "replace"), MAX_DETAIL_CHARS)


def describe_exit(status: int | None) -> str:
    """How a process ended, in words that can follow its name; None while it still lives."""
    if status is None:
        return "closed its pipe to evalkit"
    if status >= 0:
        return f"ended with exit code {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = " (out of memory?)" if status == -signal.SIGKILL else ""
    return f"was ended by {name}{hint}"
