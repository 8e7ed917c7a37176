"""Join the pieces of text that a streaming agent yields, and announce the first one."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from evalkit.core.limits import MAX_REPLY_BYTES
from evalkit.core.safe_text import has_visible_text
from evalkit.worker.user_code import BadReply

announce_first_piece: ContextVar[Callable[[], None]] = ContextVar(
    "announce_first_piece", default=lambda: None
)
"""Called when the call in this context yields its first piece, so that the parent measures when."""


class StreamedValue:
    """What a generator has yielded so far, and what it returned at its end."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._size = 0
        self._has_begun = False
        self._final: object = None
        self._wrong = ""

    def add(self, piece: object) -> bool:
        """Add a yielded value; return whether the next one is wanted."""
        if self._final is not None:
            self._wrong = (
                "yielded a mapping before its last piece. Yield text, and the mapping last."
            )
        elif isinstance(piece, str):
            if not self._has_begun and has_visible_text(piece):
                self._has_begun = True
                announce_first_piece.get()()
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

    def to_reply(self, to_json: Callable[[object], object]) -> object:
        """Return the reply, of which `to_json` converts the final value.

        Raises:
            BadReply: a yielded value is neither text nor the last mapping, or the final value is neither.
        """
        if self._wrong:
            raise BadReply(f"the agent {self._wrong}")
        reply: object = "".join(self._pieces)
        if self._final is not None:
            final = to_json(self._final)
            reply = {"output": reply, **final} if isinstance(final, dict) else final
        return reply


def yields_asynchronously(function: Callable[..., object]) -> bool:
    """Return whether a call returns an async generator."""
    return inspect.isasyncgenfunction(function) or inspect.isasyncgenfunction(
        getattr(type(function), "__call__", None)  # noqa: B004 - the method itself is needed
    )


def join_yields(function: Callable[..., Any], *, is_async: bool) -> Callable[..., Any]:
    """Return a function that calls `function`, and returns a StreamedValue where that yields pieces."""

    async def call_async(*positional: object, **named: object) -> object:
        return await _settle(function(*positional, **named))

    def call(*positional: object, **named: object) -> object:
        value = function(*positional, **named)
        if isinstance(value, Awaitable | AsyncIterator):
            return _settle(value)
        return _join(value) if isinstance(value, Iterator) else value

    return call_async if is_async else call


async def _settle(value: object) -> object:
    if isinstance(value, Awaitable):
        value = await value
    if isinstance(value, AsyncIterator):
        return await _join_async(value)
    return _join(value) if isinstance(value, Iterator) else value


def _join(pieces: Iterator[object]) -> StreamedValue:
    value, returned = StreamedValue(), None
    try:
        while value.add(next(pieces)):
            pass
    except StopIteration as end:
        returned = end.value
    finally:
        if hasattr(pieces, "close"):
            pieces.close()
    return value.finish(returned)


async def _join_async(pieces: AsyncIterator[object]) -> StreamedValue:
    value = StreamedValue()
    try:
        async for piece in pieces:
            if not value.add(piece):
                break
    finally:
        if hasattr(pieces, "aclose"):
            await pieces.aclose()
    return value
