"""The private pipe to the parent: its lines in, what became of the calls as lines out."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import perf_counter
from typing import Any, Protocol, TypeAlias

from evalkit.core.limits import MAX_REPLY_BYTES
from evalkit.worker.object_loader import BadReply, describe_exception, format_user_traceback

Json: TypeAlias = Any

READ_BYTES = 1 << 18


class Target(Protocol):
    """What is served: how a payload becomes arguments, and a returned value JSON."""

    function: Callable[..., Any]
    is_async: bool
    description: dict[str, Json]

    def read_payload(self, payload: Json) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Lay out a payload as positional and named arguments."""

    def to_json(self, value: object) -> Json:
        """Turn what a call returned into what the parent reads; raise BadReply."""


class Server(Protocol):
    """How calls are run; every method but `serve` is called by the reading thread."""

    def serve(self) -> None:
        """Answer calls until told to stop."""

    def start_call(self, call_id: str, payload: bytes) -> None:
        """Begin a call."""

    def cancel_call(self, call_id: str) -> None:
        """Give up a call, if that can be done."""

    def answer_ping(self) -> None:
        """Show that calls are not kept from running."""

    def stop(self) -> None:
        """Let `serve` return."""


class Pipe:
    """One end of the connection. When the parent is gone, so is this process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        os.set_inheritable(descriptor, False)
        os.register_at_fork(after_in_child=self._leave)

    def _leave(self) -> None:
        """A fork made by the target is no worker: it must not answer, nor keep the pipe open."""
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
        """Write one line, whole, whichever thread it comes from."""
        line = f"{kind} {call_id} {duration_s:.6f} {text}\n".encode("ascii")
        if self._descriptor < 0:
            os._exit(1)
        try:
            with self._lock:
                while line:
                    line = line[os.write(self._descriptor, line) :]
        except OSError:
            os._exit(1)


def _to_python_number(value: object) -> object:
    """NumPy's scalars, which the JSON encoder does not know, as Python's numbers."""
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return value.item()  # type: ignore[attr-defined]  # every NumPy scalar has it
    raise TypeError(f"an object of type {type(value).__name__!r} is not JSON")


# Bound before any code of the target runs, which might patch the json module.
encode = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_to_python_number).encode
encode_wide = json.JSONEncoder(ensure_ascii=False, default=_to_python_number).encode
decode = json.JSONDecoder().decode


class _TooLarge(Exception):
    """The reply is over the limit."""


def _to_text(value: Json) -> str:
    if not (isinstance(value, str) and len(value) > MAX_REPLY_BYTES):
        text = encode(value)
        # Escapes make text of other scripts up to six times as long; the limit is not about those.
        if (
            len(text) <= MAX_REPLY_BYTES
            or len(encode_wide(value).encode("utf-8", "surrogatepass")) <= MAX_REPLY_BYTES
        ):
            return text
    raise _TooLarge(f"the reply is over the limit of {MAX_REPLY_BYTES:,} bytes.")


class ReplySender:
    """What became of the calls to one target, sent."""

    def __init__(self, target: Target, pipe: Pipe) -> None:
        self._to_json = target.to_json
        self._send = pipe.send

    def send_value(self, call_id: str, started: float, value: object) -> None:
        """Send what a call returned, or why that is no reply."""
        duration_s = perf_counter() - started
        try:
            text = _to_text(self._to_json(value))
        except _TooLarge as large:
            self._send_error(call_id, duration_s, "output_too_large", str(large))
        except BadReply as bad:
            self._send_error(call_id, duration_s, "bad_reply", str(bad))
        except BaseException as error:
            message = f"the reply cannot be written as JSON: {describe_exception(error)}"
            self._send_error(call_id, duration_s, "bad_reply", message)
        else:
            self._send("value", call_id, duration_s, text)

    def send_exception(self, call_id: str, started: float, error: BaseException) -> None:
        """Send what a call raised, SystemExit and KeyboardInterrupt included."""
        duration_s = perf_counter() - started
        detail = format_user_traceback(error)
        self._send_error(call_id, duration_s, "exception", describe_exception(error), detail)

    def _send_error(
        self, call_id: str, duration_s: float, kind: str, message: str, detail: str = ""
    ) -> None:
        text = encode({"kind": kind, "message": message, "detail": detail})
        self._send("error", call_id, duration_s, text)
