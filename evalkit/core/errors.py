"""The exceptions that evalkit raises for problems of usage or environment, each with its exit code.

EvalkitError
├── InvalidInput     2    a bad file, flag or environment; nothing was run
├── Undecidable      3    the data does not allow a fair decision
│   ├── StoreError        a run or baseline could not be read or saved
│   └── NotComparable     two runs that cannot be compared
├── ApprovalNeeded   4    the gate's own definition changed
├── NothingSelected  5    no case to run
│   └── EmptyEvalSet      the set has no cases, whatever is selected
└── Interrupted      130, 143

A failure of the agent, the judge, or a metric is never an exception: it is a value in the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from evalkit.core.location import Location, Problem

EXIT_PASSED = 0
EXIT_FAILED = 1
EXIT_BUG = 70

WORST_FIRST = (130, 143, EXIT_BUG, 2, EXIT_FAILED, 4, 3, 5, EXIT_PASSED)
"""The exit codes of several runs from the worst on; `evalkit help exit-codes` gives the reasons.

Another code, such as that of another signal, is worse than all of these.
"""


def choose_worst_code(codes: Iterable[int]) -> int:
    """Return the exit code of several runs together: the worst of theirs, 5 if there are none."""
    ranks = {code: rank for rank, code in enumerate(WORST_FIRST)}
    return min(codes, key=lambda code: ranks.get(code, -1), default=5)


class EvalkitError(Exception):
    """The base class: one message for the user and one exit code."""

    exit_code: ClassVar[int] = EXIT_BUG


class InvalidInput(EvalkitError):
    """All problems found in the user's input."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)

    @classmethod
    def single(cls, message: str, where: Location | None = None) -> InvalidInput:
        """Create the exception for one problem."""
        return cls([Problem(message=message, where=where)])


class Undecidable(EvalkitError):
    """The available data does not allow a fair decision."""

    exit_code = 3


class StoreError(Undecidable):
    """A run or baseline could not be read or saved."""


class NotComparable(Undecidable):
    """Two runs differ in something that a comparison requires to be equal."""


class ApprovalNeeded(EvalkitError):
    """The definition of the gate was changed by hand or by the change under test."""

    exit_code = 4


class NothingSelected(EvalkitError):
    """The set is empty, or the selection matches no case."""

    exit_code = 5


class EmptyEvalSet(NothingSelected):
    """The set has no cases, so no selection matches one."""


class Interrupted(EvalkitError):
    """The command was stopped by a signal; finished trials are stored."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number

    @property
    def code(self) -> int:
        """The exit code by the convention of shells: 128 plus the signal number."""
        return 128 + self.signal_number
