r"""Read and write the private pipe between a worker process and its parent.

Lines from the parent; the first is the target, as JSON, then:

    call ID PAYLOAD     call the object
    cancel ID           cancel an async call
    ping                answer, to show that calls can run
    bye                 finish

Lines to the parent:

    ready - 0 DESCRIPTION         failed - 0 {"reasons", "detail"}
    piece ID 0 null               when a streaming call yields its first piece
    spans ID 0 {"spans", "start_ns", "dropped", "cut"}    before the result of a call that recorded spans
    inputs ID 0 {"read", "listed", "searched", ...}       before a line that could follow from them
    value ID SECONDS JSON         error ID SECONDS {"kind", "message", "detail"}
    pong - 0 null

stdout and stderr belong to the user's object, so nothing that it prints is mistaken for a reply.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, TypeAlias

from evalkit.core.limits import MAX_REPLY_BYTES

Json: TypeAlias = Any

READ_BYTES = 1 << 18


class Pipe:
    """The worker's end of the connection. When the parent is gone, this process ends too."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        os.set_inheritable(descriptor, False)
        os.register_at_fork(after_in_child=self._leave)

    def _leave(self) -> None:
        """Close the pipe in a fork that the target made: a fork must not answer calls."""
        os.close(self._descriptor)
        self._descriptor = -1

    def read_lines(self) -> Iterator[bytes]:
        """Yield line by line until the parent, or the target, closes the pipe."""
        parts: list[bytes] = []
        with suppress(OSError):
            while data := os.read(self._descriptor, READ_BYTES):
                parts.append(data)
                if b"\n" in data:
                    *lines, rest = b"".join(parts).split(b"\n")
                    parts = [rest]
                    yield from lines

    def send(self, kind: str, call_id: str, duration_s: float, text: str) -> None:
        """Write one whole line, from any thread."""
        line = f"{kind} {call_id} {duration_s:.6f} {text}\n".encode("ascii")
        # This is a fork made by the target, which must neither answer calls nor continue.
        if self._descriptor < 0:
            os._exit(1)
        try:
            with self._lock:
                while line:
                    line = line[os.write(self._descriptor, line) :]
        except OSError:
            os._exit(1)


def _to_python_number(value: object) -> object:
    """Return a NumPy scalar, which the JSON encoder does not know, as a Python number."""
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return value.item()  # type: ignore[attr-defined]  # every NumPy scalar has it
    raise TypeError(f"an object of type {type(value).__name__!r} is not JSON")


# Bound before any code of the target runs, because that code might patch the json module.
encode = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_to_python_number).encode
encode_wide = json.JSONEncoder(ensure_ascii=False, default=_to_python_number).encode
decode = json.JSONDecoder().decode


class ReplyTooLong(Exception):
    """The reply is larger than MAX_REPLY_BYTES."""


def encode_reply(value: Json) -> str:
    """Return a reply as JSON text.

    Raises:
        ReplyTooLong: the reply is larger than MAX_REPLY_BYTES.
    """
    if not (isinstance(value, str) and len(value) > MAX_REPLY_BYTES):
        text = encode(value)
        # Escapes can make non-ASCII text six times as long; they do not count toward the limit.
        if (
            len(text) <= MAX_REPLY_BYTES
            or len(encode_wide(value).encode("utf-8", "surrogatepass")) <= MAX_REPLY_BYTES
        ):
            return text
    raise ReplyTooLong(f"the reply is over the limit of {MAX_REPLY_BYTES:,} bytes.")
