"""Answers each HTTP request after a pause, and tells when the first came and the last was answered.

`python sleeping_server.py PAUSE_S` prints its port and serves until it is killed. `GET /span` gives
`[first came, last answered]` on the monotonic clock since it was last asked.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

ANSWER = json.dumps({"output": "ok"}).encode()


class SleepingServer:
    """The least of HTTP/1.1 that clients with kept-alive connections need."""

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._span: tuple[float, float] | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests until it is closed."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                _, found, rest = head.partition(b"content-length:")
                asked = await reader.readexactly(int(rest.split(b"\r\n")[0]) if found else 0)
                is_told = head.startswith(b"get /span")
                body = await (self._tell() if is_told else self._answer(head, asked))
                length = b"Content-Length: %d\r\n" % len(body)
                kind = b"Content-Type: application/json\r\n"
                writer.write(b"HTTP/1.1 200 OK\r\n" + kind + length + b"\r\n" + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answer(self, head: bytes, asked: bytes) -> bytes:
        came = time.monotonic()
        first, _ = self._span = self._span or (came, came)
        await asyncio.sleep(self._pause_s)
        self._span = (first, time.monotonic())
        return self.choose_answer(head, asked)

    def choose_answer(self, head: bytes, asked: bytes) -> bytes:  # noqa: ARG002 - others look at it
        """The body of a reply."""
        return ANSWER

    async def _tell(self) -> bytes:
        span, self._span = self._span, None
        return json.dumps(span).encode()


async def main(kind: type[SleepingServer] = SleepingServer) -> None:
    """Serve on a free port of loopback."""
    server = await asyncio.start_server(
        kind(float(sys.argv[1])).serve, "127.0.0.1", 0, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
