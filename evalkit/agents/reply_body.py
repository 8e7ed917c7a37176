"""Read the body of a reply piece by piece: split a stream into events, and stop at its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass

from evalkit.agents.reply_text import ReplyTooLarge
from evalkit.agents.server_events import (
    EventSplitter,
    Framing,
    ServerEvent,
    find_framing,
    is_framing_clear,
    looks_like_json_lines,
    split_events,
)
from evalkit.core.limits import MAX_REPLY_BYTES

DRAIN_S = 0.1
"""How long to wait for the end of a body after its last event, so that the connection can be used again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyBody:
    """A body that has been received, with its content type and charset, both empty if it has none.

    `events` is None if the body is one whole value. `received_s` is when it was complete, in seconds
    from the request.
    """

    data: bytes
    media_type: str
    charset: str = ""
    events: tuple[ServerEvent, ...] | None = None
    received_s: float = 0.0


class BodyReader:
    """Reads one body. `events` are those read so far, also after a deadline has ended the reading.

    `is_end` says whether an event is the last one of its stream. `started` is the `time.monotonic()` of
    the request.
    """

    def __init__(self, started: float, is_end: Callable[[ServerEvent], bool]) -> None:
        self.events: list[ServerEvent] = []
        self._started = started
        self._is_end = is_end
        self._chunks: list[tuple[bytes, float]] = []
        self._start: bytes | None = b""  # None once it is known how the body is split
        self._splitter: EventSplitter | None = None

    async def read(
        self, chunks: AsyncIterator[bytes], media_type: str = "", charset: str = ""
    ) -> ReplyBody:
        """Read to the end of the body, or to the last event of a stream.

        Raises:
            ReplyTooLarge: it is larger than MAX_REPLY_BYTES; the rest is not read.
        """
        size, has_ended = 0, False
        received_s = self.elapsed_s
        async for chunk in chunks:
            size += len(chunk)
            if size > MAX_REPLY_BYTES:
                raise ReplyTooLarge
            received_s = self.elapsed_s
            self._chunks.append((chunk, received_s))
            if has_ended := self._ends_stream(media_type, chunk, received_s):
                await _drain(chunks)
                break
        if not has_ended and self._splitter is not None:
            self.events += self._splitter.finish(received_s)
        data = b"".join(chunk for chunk, _ in self._chunks)
        events = self._find_events(media_type, data)
        return ReplyBody(
            data=data, media_type=media_type, charset=charset, events=events, received_s=received_s
        )

    @property
    def elapsed_s(self) -> float:
        """The seconds since the request."""
        return time.monotonic() - self._started

    def _ends_stream(self, media_type: str, chunk: bytes, received_s: float) -> bool:
        """Split a chunk into events; return whether one of them is the last."""
        if self._start is not None:
            chunk = self._start + chunk
            if not is_framing_clear(chunk):
                self._start = chunk
                return False
            framing, self._start = find_framing(media_type, chunk), None
            self._splitter = EventSplitter(framing) if framing else None
        if self._splitter is None:
            return False
        found = self._splitter.feed(chunk, received_s)
        self.events += found
        return any(map(self._is_end, found))

    def _find_events(self, media_type: str, data: bytes) -> tuple[ServerEvent, ...] | None:
        if self._splitter is not None:
            return tuple(self.events)
        # A body of a few bytes, or lines of JSON under a content type that promises something else.
        framing: Framing | None = (
            find_framing(media_type, data) if self._start is not None else None
        )
        if framing is None and looks_like_json_lines(data):
            framing = "lines"
        return None if framing is None else tuple(split_events(framing, self._chunks))


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read the end of a body whose last event has come, for a short time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            async for _ in chunks:
                pass
