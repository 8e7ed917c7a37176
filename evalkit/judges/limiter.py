"""How many calls may be under way: the ceiling, less after rate limits, more again while none come."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Limiter:
    """Additive increase, multiplicative decrease, once per episode.

    A rate limit halves the number. Those that come to calls which had been sent before belong to the same
    episode and change nothing. Each run of as many calls without one as may be under way adds one again,
    up to the ceiling.
    """

    def __init__(self, ceiling: int) -> None:
        self.limit = ceiling
        self._ceiling = ceiling
        self._under_way = 0
        self._episode = 0
        self._since_change = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def has_room(self) -> bool:
        """Whether a call that asks for it now need not wait."""
        return self._under_way < self.limit and not self._waiting

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[int]:
        """Wait for room, first come, first served; yields the episode in which the call begins."""
        if self.has_room:
            self._under_way += 1
        else:
            await self._queue()
        try:
            yield self._episode
        finally:
            self._under_way -= 1
            self._admit()

    def was_limited(self, episode: int) -> None:
        """A call that began in that episode was told to slow down."""
        if episode == self._episode:
            self._episode += 1
            self._since_change = 0
            self.limit = max(1, self.limit // 2)

    def was_served(self) -> None:
        """A call was answered."""
        self._since_change += 1
        if self._since_change >= self.limit and self.limit < self._ceiling:
            self._since_change = 0
            self.limit += 1
            self._admit()

    async def _queue(self) -> None:
        ticket = asyncio.get_running_loop().create_future()
        self._waiting.append(ticket)
        try:
            await ticket
        except asyncio.CancelledError:
            if ticket.done() and not ticket.cancelled():
                # The room it was given goes to the next.
                self._under_way -= 1
                self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting and self._under_way < self.limit:
            ticket = self._waiting.popleft()
            if not ticket.done():
                self._under_way += 1
                ticket.set_result(None)
