"""A position in a file, and a problem found there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Location:
    """A place in a user's file; `line` and `column` count from 1, 0 when the file as a whole is meant."""

    path: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path


NO_LOCATION = Location(path="")
"""The location of what no file defines."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing wrong with what the user gave: where, what, and what to do about it."""

    message: str
    where: Location | None = None

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message
