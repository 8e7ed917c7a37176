"""Count the values of a YAML file as if every alias were written out, and stop where they are too many."""

from __future__ import annotations

from typing import NamedTuple

from evalkit.core.location import Location, Problem
from evalkit.evalset.nodes import MAX_NODES

MAX_ALIAS_NODES = 1_000_000
"""Values that the aliases of one file expand to: 10 for each of 100,000 cases."""

MAX_ALIAS_TEXT = 64 * 2**20
"""Characters that the aliases of one file expand to: as many as a file without aliases may have."""

MAX_GROWTH = 100
"""Values that aliases expand to, per value written. Only a file made to exhaust memory has more."""

SMALL_GROWTH = 1_000
"""Values that aliases may expand to in any file, however short."""


class StopReading(Exception):
    """The file breaks a rule in a way that makes the rest of it unreadable."""

    def __init__(self, message: str, where: Location) -> None:
        super().__init__(message)
        self.problem = Problem(message=message, where=where)


class Size(NamedTuple):
    """A number of values, and the characters of text in them."""

    nodes: int = 0
    text: int = 0

    def plus(self, other: Size) -> Size:
        """Return the size of both."""
        return Size(self.nodes + other.nodes, self.text + other.text)

    def minus(self, other: Size) -> Size:
        """Return the size without a part of it."""
        return Size(self.nodes - other.nodes, self.text - other.text)


class WrittenOutSize:
    """The size of what has been read of a file, in which an alias counts like the values of its anchor.

    Raises:
        StopReading: from each method, when a limit is reached.
    """

    def __init__(self) -> None:
        self._nodes = 0
        self._text = 0
        self._aliased = Size()

    @property
    def total(self) -> Size:
        """The size of everything read so far."""
        return Size(self._nodes, self._text)

    def add_node(self, where: Location) -> None:
        """Count a written value."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise StopReading(f"the file has more than {MAX_NODES:,} values. Split it.", where)

    def add_text(self, text: str) -> None:
        """Count the characters of a written value."""
        self._text += len(text)

    def add_alias(self, size: Size, where: Location) -> None:
        """Count an alias of a value of this size."""
        written = self._nodes - self._aliased.nodes
        self._nodes += size.nodes
        self._text += size.text
        self._aliased = self._aliased.plus(size)
        most = min(SMALL_GROWTH + MAX_GROWTH * written, MAX_ALIAS_NODES)
        if self._aliased.nodes > most or self._aliased.text > MAX_ALIAS_TEXT:
            raise StopReading(
                f"the aliases up to here expand to {self._aliased.nodes:,} values with "
                f"{self._aliased.text:,} characters, too many for this file. "
                f"Use fewer aliases inside of values that have an anchor.",
                where,
            )
