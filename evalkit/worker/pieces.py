"""Join the pieces of text that a streaming agent yields, and time the first one."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from time import perf_counter
from typing import Any

from evalkit.core.limits import MAX_REPLY_BYTES
from evalkit.worker.user_code import BadReply

FIRST_PIECE_KEY = "evalkit.first_piece_s"
"""The key that marks a streamed reply on the pipe; the reply itself is under `reply`."""


class StreamedValue:
    """What a generator has yielded so far, and what it returned at its end."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._pieces: list[str] = []
        self._size = 0
        self._first_piece_s: float | None = None
        self._final: object = None
        self._wrong = ""

    def add(self, piece: object) -> bool:
        """Add a yielded value; return whether the next one is wanted."""
        if self._final is not None:
            self._wrong = (
                "yielded a mapping before its last piece. Yield text, and the mapping last."
            )
        elif isinstance(piece, str):
            if piece and self._first_piece_s is None:
                self._first_piece_s = perf_counter() - self._started
            self._pieces.append(piece)
            self._size += len(piece)
        elif isinstance(piece, Mapping):
            self._final = piece
        # Clients of models yield None in place of an empty piece.
        elif piece is not None:
            kind = type(piece).__name__
            self._wrong = (
                f"yielded an object of type {kind!r}. Yield text, and a mapping only last."
            )
        return not self._wrong and self._size <= MAX_REPLY_BYTES

    def finish(self, returned: object) -> StreamedValue:
        """Add what the generator returned, if it did."""
        if returned is not None:
            self._final = returned
        return self

    def to_reply(self, to_json: Callable[[object], object]) -> dict[str, object]:
        """Return the reply, of which `to_json` converts the final value, with the time of its first piece.

        Raises:
            BadReply: a yielded value is neither text nor the last mapping, or the final value is neither.
        """
        if self._wrong:
            raise BadReply(f"the agent {self._wrong}")
        reply: object = "".join(self._pieces)
        if self._final is not None:
            final = to_json(self._final)
            reply = {"output": reply, **final} if isinstance(final, dict) else final
        return {FIRST_PIECE_KEY: self._first_piece_s, "reply": reply}


def yields_asynchronously(function: Callable[..., object]) -> bool:
    """Return whether a call returns an async generator."""
    return inspect.isasyncgenfunction(function) or inspect.isasyncgenfunction(
        getattr(type(function), "__call__", None)  # noqa: B004 - the method itself is needed
    )


def join_yields(function: Callable[..., Any], *, is_async: bool) -> Callable[..., Any]:
    """Return a function that calls `function`, and returns a StreamedValue where that yields pieces."""

    async def call_async(*positional: object, **named: object) -> object:
        started = perf_counter()
        value = function(*positional, **named)
        return await _settle(value, started)

    def call(*positional: object, **named: object) -> object:
        started = perf_counter()
        value = function(*positional, **named)
        if isinstance(value, Awaitable | AsyncIterator):
            return _settle(value, started)
        return _join(value, started) if isinstance(value, Iterator) else value

    return call_async if is_async else call


async def _settle(value: object, started: float) -> object:
    if isinstance(value, Awaitable):
        value = await value
    if isinstance(value, AsyncIterator):
        return await _join_async(value, started)
    return _join(value, started) if isinstance(value, Iterator) else value


def _join(pieces: Iterator[object], started: float) -> StreamedValue:
    value, returned = StreamedValue(started), None
    try:
        while value.add(next(pieces)):
            pass
    except StopIteration as end:
        returned = end.value
    finally:
        if hasattr(pieces, "close"):
            pieces.close()
    return value.finish(returned)


async def _join_async(pieces: AsyncIterator[object], started: float) -> StreamedValue:
    value = StreamedValue(started)
    try:
        async for piece in pieces:
            if not value.add(piece):
                break
    finally:
        if hasattr(pieces, "aclose"):
            await pieces.aclose()
    return value
