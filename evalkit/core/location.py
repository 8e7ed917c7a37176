"""A location in a file, and a problem found there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Location:
    """A place in a user's file; `line` and `column` count from 1, and 0 means the whole file."""

    path: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path


NO_LOCATION = Location(path="")
"""The location of something that no file defines."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One problem with the user's input: where it is, what is wrong, and what to do."""

    message: str
    where: Location | None = None

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message
