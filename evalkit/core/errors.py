"""The exceptions evalkit raises for trouble of usage or environment, each with its exit code.

EvalkitError
├── InvalidInput     2    a bad file, flag or environment; nothing was run
├── Undecidable      3    what is stored or asked cannot be decided fairly
│   ├── StoreError        a run or baseline could not be read or saved
│   └── NotComparable     two runs that share no ground
├── ApprovalNeeded   4    the gate's own definition changed
├── NothingSelected  5    no case to run
└── Interrupted      130, 143

Trouble of the agent, the judge or a metric is never an exception: it is a value in the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from evalkit.core.location import Location, Problem

EXIT_PASSED = 0
EXIT_FAILED = 1
EXIT_BUG = 70


class EvalkitError(Exception):
    """The root: one message for the user, one exit code."""

    exit_code: ClassVar[int] = EXIT_BUG


class InvalidInput(EvalkitError):
    """Every problem found in what the user gave, all at once."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)

    @classmethod
    def single(cls, message: str, where: Location | None = None) -> InvalidInput:
        """One problem, for callers that can only meet one."""
        return cls([Problem(message=message, where=where)])


class Undecidable(EvalkitError):
    """The question cannot be answered fairly with what there is."""

    exit_code = 3


class StoreError(Undecidable):
    """A run or baseline could not be read, or could not be saved."""


class NotComparable(Undecidable):
    """Two runs differ in what must be equal for a comparison."""


class ApprovalNeeded(EvalkitError):
    """What defines the gate was changed by hand or by the change under test."""

    exit_code = 4


class NothingSelected(EvalkitError):
    """The set is empty or the selection matches no case."""

    exit_code = 5


class Interrupted(EvalkitError):
    """Stopped by a signal; what had finished is stored."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number

    @property
    def code(self) -> int:
        """The shell's convention: 128 and the signal's number."""
        return 128 + self.signal_number
