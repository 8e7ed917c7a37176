"""An agent, a chat model, and a judge on loopback that refuse and fail as real endpoints do."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.support.stub_judges import completion, honest, read_asking

LATENCY_S = 0.1
CUT_OFF, HANG, VANISH = 0, -1, -2
"""In place of a status: a reply that ends too early or never comes, and a server that goes away."""

ANSWER = "It is Paris."


@dataclass
class Log:
    """The requests: when they came and were answered, and with which status."""

    came_s: list[float] = field(default_factory=list)
    left_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)

    @property
    def span_s(self) -> float:
        """From the first request to the last answer."""
        return max(self.left_s) - min(self.came_s)

    @property
    def refused_share(self) -> float:
        """The share of requests that were refused."""
        return self.statuses[429] / max(1, self.statuses.total())

    def count_repeated(self, runs: int) -> int:
        """Return how many answered requests were made again; each run makes each of them once."""
        return sum(max(0, count - runs) for count in self.answered.values())


@dataclass(frozen=True)
class Fate:
    """What happens to a request."""

    status: int = 200
    headers: str = ""


class Weather(Protocol):
    """Decides about requests."""

    def decide(self, log: Log) -> Fate:
        """Return what happens to the request that came last."""


class TokenBucket:
    """A hard limit; Retry-After is in whole seconds."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._level, self._at_s = burst, 0.0

    def decide(self, log: Log) -> Fate:
        """Take the request from the bucket."""
        now_s = log.came_s[-1]
        self._level = min(self._burst, self._level + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        if self._level >= 1:
            self._level -= 1
            return Fate()
        wait_s = max(1, -int(-(1 - self._level) // self._rate))
        return Fate(429, f"Retry-After: {wait_s}\r\n")


class RandomWeather:
    """20 % refusals, 5 % errors, 1 % replies that never come, and 1 % that are cut off."""

    def __init__(self) -> None:
        self._rng = random.Random(4)

    def decide(self, log: Log) -> Fate:  # noqa: ARG002 - it is the same at any time
        """Draw."""
        drawn = self._rng.random()
        for limit, status in ((0.20, 429), (0.25, 500), (0.26, HANG), (0.27, CUT_OFF)):
            if drawn < limit:
                return Fate(status)
        return Fate()


class Outage:
    """Nothing is served for a while, after so many requests."""

    def __init__(self, how: str, *, after: int, for_s: float) -> None:
        self.how, self.for_s = how, for_s
        self._after = after
        self.began_s = 0.0

    def decide(self, log: Log) -> Fate:
        """Refuse during the outage."""
        now_s = log.came_s[-1]
        if not self.began_s and len(log.came_s) > self._after:
            self.began_s = now_s
        if not self.began_s or now_s - self.began_s > self.for_s:
            return Fate()
        return Fate(VANISH if self.how == "refused" else int(self.how))


class WeatherServer:
    """Serves HTTP/1.1 on a port that stays the same while nothing listens on it."""

    def __init__(self, weather: Weather) -> None:
        self.log = Log()
        self.port = 0
        self._weather = weather
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._vanishing: asyncio.Future[None] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    async def listen(self) -> None:
        """Begin to accept connections."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _vanish(self, for_s: float) -> None:
        assert self._server
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await asyncio.sleep(for_s)
        await self.listen()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = head.partition(b"content-length:")[2].split(b"\r\n")[0]
                body = await reader.readexactly(int(length or 0))
                if not await self._answer(head, body, writer):
                    break
        self._writers.discard(writer)
        writer.close()

    async def _answer(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        log = self.log
        log.came_s.append(time.monotonic())
        fate = self._weather.decide(log)
        log.statuses[fate.status] += 1
        if fate.status == VANISH:
            if isinstance(self._weather, Outage) and self._vanishing is None:
                self._vanishing = asyncio.ensure_future(self._vanish(self._weather.for_s))
            return False
        if fate.status == HANG:
            await asyncio.sleep(60)
            return False
        await asyncio.sleep(LATENCY_S if fate.status != 429 else 0.001)
        reply = make_reply(head, json.loads(body)) if fate.status == 200 else b"{}"
        lines = (
            f"HTTP/1.1 {fate.status or 200} X\r\n{fate.headers}Content-Type: application/json\r\n"
        )
        writer.write(
            f"{lines}Content-Length: {len(reply) + (fate.status == CUT_OFF)}\r\n\r\n".encode()
            + reply
        )
        await writer.drain()
        log.left_s.append(time.monotonic())
        if fate.status == 200:
            log.answered[identify(head, body)] += 1
        return fate.status != CUT_OFF


def make_reply(head: bytes, asked: Any) -> bytes:
    """The answer of the agent, the chat model, or the judge."""
    if b"/chat/completions" not in head:
        return json.dumps({"output": ANSWER}).encode()
    if b"BEGIN" not in json.dumps(asked).encode():
        return json.dumps(completion(ANSWER)).encode()
    return json.dumps(completion(json.dumps(honest(read_asking(asked))))).encode()


def identify(head: bytes, body: bytes) -> str:
    """What a request asks, without the nonce of a judge."""
    asked = json.loads(body)
    if b"/chat/completions" in head and b"BEGIN" in body:
        asking = read_asking(asked)
        return json.dumps([dict(asking.material), asked.get("seed"), len(asked["messages"])])
    return json.dumps(asked)


async def end_other_tasks() -> None:
    """Cancel what the server still does, such as answers that hang."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def serving(weather: Weather) -> Iterator[WeatherServer]:
    """A server in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = WeatherServer(weather)

    def wait_for(step: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(step, loop).result(timeout=10)

    wait_for(server.listen())
    yield server
    wait_for(end_other_tasks())
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
