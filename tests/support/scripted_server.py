"""An HTTP server on loopback that plays a script of replies and faults, byte by byte."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Play: TypeAlias = Callable[[asyncio.StreamWriter], Awaitable[bool]]
"""Writes one reply; whether the connection may be used again."""


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class ScriptedServer:
    """Answers the first request with the first play, and so on; the last one is repeated.

    With `choose` every request is answered by the play that is chosen for it.
    """

    plays: tuple[Play, ...] = ()
    tls: ssl.SSLContext | None = None
    choose: Callable[[Asked], Play] | None = None
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    async def __aenter__(self) -> ScriptedServer:
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *trouble: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.append(writer)
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                asked = await _read_request(reader)
                self.asked.append(asked)
                if self.choose is not None:
                    play = self.choose(asked)
                else:
                    play = self.plays[min(len(self.asked), len(self.plays)) - 1]
                if not await play(writer):
                    break
        writer.close()


@contextmanager
def served(server: ScriptedServer) -> Iterator[ScriptedServer]:
    """Hold a server ready in a thread, for commands that run as processes."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def wait_for(step: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(step, loop).result(timeout=10)

    try:
        wait_for(server.__aenter__())
        yield server
    finally:
        wait_for(server.__aexit__())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _read_request(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in head[1:] if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method=method, target=target, headers=headers, body=body)


def reply(
    body: bytes | str = b"",
    *,
    status: int = 200,
    kind: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Play:
    """A whole reply, after which the connection is kept."""
    content = body.encode() if isinstance(body, str) else body
    lines = {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}

    async def play(writer: asyncio.StreamWriter) -> bool:
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + content)
        await writer.drain()
        return True

    return play


def json_reply(value: object, **options: Any) -> Play:
    """A whole reply of JSON."""
    return reply(json.dumps(value), **options)


def raw(data: bytes) -> Play:
    """Some bytes, then the end of the connection."""

    async def play(writer: asyncio.StreamWriter) -> bool:
        writer.write(data)
        await writer.drain()
        return False

    return play


def reset_after(data: bytes) -> Play:
    """Some bytes, then a TCP reset."""

    async def play(writer: asyncio.StreamWriter) -> bool:
        if data:
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(0.05)
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
        return False

    return play


def repeat(head: bytes, piece: bytes, pause_s: float) -> Play:
    """A reply that goes on for ever, one piece after the other."""

    async def play(writer: asyncio.StreamWriter) -> bool:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return play


def stream(
    chunks: Iterable[bytes],
    *,
    kind: str = "text/event-stream",
    pause_s: float = 0.0,
    is_open: bool = False,
) -> Play:
    """A reply in chunks of HTTP; with `is_open` the connection stays open after the last one."""

    async def play(writer: asyncio.StreamWriter) -> bool:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head.encode())
        for chunk in filter(None, chunks):
            await asyncio.sleep(pause_s)
            writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            await writer.drain()
        if is_open:
            await asyncio.sleep(60)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    return play


def slow(play: Play, pause_s: float) -> Play:
    """A reply that is a while in coming."""

    async def play_later(writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(pause_s)
        return await play(writer)

    return play_later


LENGTH_100 = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
LENGTHLESS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
