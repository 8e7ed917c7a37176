"""A receiver of OTLP over HTTP on loopback, which costs a socket until somebody sends to it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from evalkit.caps import MAX_EXPORT_BYTES
from evalkit.tracing.collecting import Collector
from evalkit.tracing.otlp import TooLarge, Unreadable, read_export

if TYPE_CHECKING:
    from aiohttp import web

HOST = "127.0.0.1"
PATH = "/v1/traces"


class Receiver:
    """Where agents send their spans to."""

    def __init__(self, listening: socket.socket) -> None:
        self.collector = Collector()
        self.endpoint = f"http://{HOST}:{listening.getsockname()[1]}"
        self._socket = listening
        self._runner: web.AppRunner | None = None
        self._starting: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Wait for a first sender. Until then nothing that serves HTTP is loaded."""
        asyncio.get_running_loop().add_reader(self._socket, self._start)

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        self._starting = loop.create_task(self._serve())

    async def _serve(self) -> None:
        from aiohttp import web  # noqa: PLC0415 - 150 ms, for agents that send spans

        application = web.Application(client_max_size=MAX_EXPORT_BYTES)
        application.router.add_post(PATH, self._take)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            handle_signals=False,
            auto_decompress=False,
            shutdown_timeout=0.5,
        )
        await self._runner.setup()
        await web.SockSite(self._runner, self._socket).start()

    async def _take(self, request: web.Request) -> web.Response:
        from aiohttp import web  # noqa: PLC0415 - as above

        content_type = request.headers.get("Content-Type", "")
        try:
            body = await request.read()
            encoding = request.headers.get("Content-Encoding", "").strip().lower()
            self.collector.take(read_export(body, content_type.lower(), encoding))
        except (web.HTTPRequestEntityTooLarge, TooLarge):
            self.collector.refuse()
            return web.Response(status=413, text=f"at most {MAX_EXPORT_BYTES:,} bytes are taken")
        except Unreadable as wrong:
            self.collector.refuse()
            return web.Response(status=400, text=str(wrong))
        is_json = "json" in content_type
        return web.Response(
            body=b"{}" if is_json else b"",
            content_type="application/json" if is_json else "application/x-protobuf",
        )

    async def close(self) -> None:
        """Stop listening."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        if self._starting is not None:
            await asyncio.wait({self._starting})
        if self._runner is not None:
            await self._runner.cleanup()
        self._socket.close()


@asynccontextmanager
async def open_receiver(port: int = 0) -> AsyncIterator[Receiver]:
    """Listen on loopback, on any free port unless one is named.

    Raises:
        OSError: the port is taken.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen(256)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    receiver = Receiver(listening)
    receiver.listen()
    try:
        yield receiver
    finally:
        await receiver.close()
