"""Split the bytes of a streamed reply into events: Server-Sent Events, or one JSON value a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evalkit.agents.reply_text import decode_text
from evalkit.core.literals import Json

Framing: TypeAlias = Literal["sse", "lines"]

EVENT_STREAM = "text/event-stream"
_LINE_TYPE = re.compile(
    r"(application|text)/(x-)?(ndjson|jsonl|jsonlines|json-lines|json-seq|json-stream|stream\+json)"
)
_FIELD = re.compile(rb"(data|event|id|retry)?\s*:")
_DATA_PROTOCOL = re.compile(rb'[0-9a-z]:["{\[]')
"""The start of a line of the data stream protocol of Vercel's AI SDK 4: `0:"text"`."""

_LONGEST_FIELD = len(b"retry:")
_UTF8_MARK = b"\xef\xbb\xbf"
_LEADING = b"\xef\xbb\xbf \t\r\n"

DEFAULT_NAME = "message"
"""The name of an event that gives none (HTML, 9.2.6)."""

DONE = "[DONE]"
"""The data of the last event of OpenAI's streams, and of many others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerEvent:
    """One event. `received_s` is when it was complete, in seconds from the request.

    `value` is the JSON of `data`, or `data` itself if that is not JSON. `flags` say how bytes were changed.
    """

    name: str
    data: str
    value: Json
    received_s: float
    flags: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What kind of event it is: its name, or else `type` or `event` in its data; may be empty."""
        if self.name not in ("", DEFAULT_NAME):
            return self.name
        found = self.value if isinstance(self.value, dict) else {}
        labels = (found.get(key) for key in ("type", "event", "kind"))
        return next((label for label in labels if isinstance(label, str)), "")

    @property
    def is_done(self) -> bool:
        """Whether the event only says that the stream ends."""
        return self.data.strip() == DONE


def find_framing(media_type: str, start: bytes) -> Framing | None:
    """Return how a body is split, from its content type and its first bytes; None for one whole value."""
    start = start.lstrip(_LEADING)
    if _FIELD.match(start):
        return "sse"
    if _LINE_TYPE.fullmatch(media_type) or _DATA_PROTOCOL.match(start):
        return "lines"
    if media_type == EVENT_STREAM:
        return "lines" if start.startswith((b"{", b"[")) else "sse"
    return None


def is_framing_clear(start: bytes) -> bool:
    """Return whether these first bytes of a body are enough for `find_framing`."""
    return len(start.lstrip(_LEADING)) >= _LONGEST_FIELD


def is_stream_type(media_type: str) -> bool:
    """Return whether a content type says that the body is a stream of events."""
    return media_type == EVENT_STREAM or _LINE_TYPE.fullmatch(media_type) is not None


def looks_like_json_lines(body: bytes) -> bool:
    """Return whether a body has several lines, and the first two look like whole JSON objects."""
    lines = [line.strip() for line in body.lstrip(_LEADING).split(b"\n", 8) if line.strip()][:2]
    return len(lines) == 2 and all(
        line.startswith(b"{") and line.endswith(b"}") and is_json(line) for line in lines
    )


def is_json(body: bytes) -> bool:
    """Return whether bytes are one JSON value."""
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


class EventSplitter:
    """Collects chunks, which may end anywhere, and returns the events that they complete."""

    def __init__(self, framing: Framing) -> None:
        self._is_sse = framing == "sse"
        self._line_end = re.compile(rb"\r\n|\n|\r" if self._is_sse else rb"\r?\n")
        self._rest = bytearray()
        self._ends_with_return = False
        self._is_first_line = True
        self._name = ""
        self._data: list[str] = []
        self._flags: tuple[str, ...] = ()

    def feed(self, chunk: bytes, received_s: float) -> list[ServerEvent]:
        """Return the events that this chunk completes."""
        # The line feed of a CR LF that is cut in two ends no second line.
        if self._ends_with_return and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._ends_with_return = self._is_sse and chunk.endswith(b"\r")
        self._rest += chunk
        if b"\n" not in chunk and not (self._is_sse and b"\r" in chunk):
            return []
        *lines, rest = self._line_end.split(self._rest)
        self._rest = bytearray(rest)
        return self._read_lines(lines, received_s)

    def finish(self, received_s: float) -> list[ServerEvent]:
        """Return what the end of the body completes: servers leave out the last line end."""
        lines = [bytes(self._rest), b""] if self._rest else [b""]
        self._rest = bytearray()
        return self._read_lines(lines, received_s)

    def _read_lines(self, lines: Iterable[bytes], received_s: float) -> list[ServerEvent]:
        found = []
        for raw in lines:
            line = raw
            if self._is_first_line:
                line, self._is_first_line = line.removeprefix(_UTF8_MARK), False
            text, flags = decode_text(bytes(line))
            self._flags += flags
            event = self._read_field(text) if self._is_sse else _read_line(text)
            if event is not None:
                found.append(self._complete(*event, received_s))
        return found

    def _read_field(self, line: str) -> tuple[str, str] | None:
        """Read a line of Server-Sent Events (HTML, 9.2.6); return name and data at the end of an event."""
        if not line:
            event = (self._name, "\n".join(self._data)) if self._data or self._name else None
            self._name, self._data = "", []
            return event
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field.strip() == "data":
            self._data.append(value)
        elif field.strip() == "event":
            self._name = value.strip()
        return None  # a comment, an id, or a field without a meaning here

    def _complete(self, name: str, data: str, received_s: float) -> ServerEvent:
        value: Json = data
        if data.strip() != DONE:
            try:
                value = json.loads(data)
            except (ValueError, RecursionError):
                value = data
        flags, self._flags = tuple(dict.fromkeys(self._flags)), ()
        return ServerEvent(name=name, data=data, value=value, received_s=received_s, flags=flags)


def _read_line(line: str) -> tuple[str, str] | None:
    """Return name and data of a line of JSON; a line of the data stream protocol has a name."""
    data = line.strip("\x1e \t\r")  # JSON text sequences (RFC 7464) start with a record separator
    if data[1:2] == ":" and _DATA_PROTOCOL.match(data.encode("utf-8", "replace")):
        return data[0], data[2:]
    return ("", data) if data else None


def split_events(framing: Framing, chunks: Iterable[tuple[bytes, float]]) -> list[ServerEvent]:
    """Return the events of a whole body; each chunk comes with the time when it was received."""
    splitter = EventSplitter(framing)
    events: list[ServerEvent] = []
    received_s = 0.0
    for chunk, received_s in chunks:
        events += splitter.feed(chunk, received_s)
    return events + splitter.finish(received_s)
