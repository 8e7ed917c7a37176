"""What a run allows a judge: patience after trouble, money, and calls lost in a row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from evalkit.records import Problem

LOST_IN_A_ROW = 5
"""Calls lost one after the other, each with all its attempts, after which a judge is down for good."""


class Patience:
    """The time that a run allows for calls that met trouble.

    Time counts while at least one call is in trouble: from its first failed attempt until it has a reply
    or is lost. Several calls in trouble at the same time count once. A wait that does not fit into what
    is left is not begun, and no further attempt outlasts it; first attempts are not affected.
    """

    def __init__(self, deadline_s: float, clock: Callable[[], float]) -> None:
        self._deadline_s = deadline_s
        self._clock = clock
        self._spent_s = 0.0
        self._in_trouble = 0
        self._since = 0.0

    @property
    def left_s(self) -> float:
        """Seconds that are left."""
        running_s = self._clock() - self._since if self._in_trouble else 0.0
        return max(0.0, self._deadline_s - self._spent_s - running_s)

    @contextmanager
    def trouble(self) -> Iterator[None]:
        """Hold this open while one call is in trouble."""
        if not self._in_trouble:
            self._since = self._clock()
        self._in_trouble += 1
        try:
            yield
        finally:
            self._in_trouble -= 1
            if not self._in_trouble:
                self._spent_s += self._clock() - self._since


class Fuse:
    """Tells when a judge will answer no more in this run: `blown` says why, `refused` what to mend."""

    def __init__(self, most_lost: int = LOST_IN_A_ROW) -> None:
        self.blown = ""
        self.refused: Problem | None = None
        self._most_lost = most_lost
        self._lost = 0
        self._event = asyncio.Event()

    def blow(self, reason: str, refused: Problem | None = None) -> None:
        """Be down for good; the first reason stays."""
        if not self.blown:
            self.blown = reason
            self.refused = refused
            self._event.set()

    def answered(self) -> None:
        """A call had a reply."""
        self._lost = 0

    def lost(self, reason: str) -> None:
        """A call was lost, with all its attempts."""
        self._lost += 1
        if self._lost >= self._most_lost:
            self.blow(f"{self._lost} calls in a row were lost, the last because {reason}")

    async def wait(self, wait_s: float) -> None:
        """Wait, but no longer than until it is blown."""
        try:
            async with asyncio.timeout(wait_s):
                await self._event.wait()
        except TimeoutError:
            return


class Purse:
    """What a judge may cost in a run. Calls under way when it is empty are paid all the same."""

    def __init__(self, most_usd: float | None) -> None:
        self.spent_usd = 0.0
        self._most_usd = most_usd

    def pay(self, cost_usd: float | None) -> None:
        """Count the cost of a call; one of unknown price counts nothing."""
        self.spent_usd += cost_usd or 0.0

    @property
    def is_limited(self) -> bool:
        """Whether it can be empty."""
        return self._most_usd is not None

    @property
    def trouble(self) -> str:
        """Why nothing more is to be spent; empty while something may be."""
        if self._most_usd is None or self.spent_usd < self._most_usd:
            return ""
        return f"max_cost_usd is {self._most_usd:g} USD, and its calls have cost {self.spent_usd:.4g} USD"
