"""Report a mistake once that every case of a file makes, with the number of the others."""

from __future__ import annotations

import re
from dataclasses import replace

from evalkit.core.location import Problem

_FOLDED = re.compile(
    r"case(?: '.*?'| \".*?\")?: (?P<mistake>unknown key .+|\w+ is missing\. .+)", re.DOTALL
)
"""Mistakes that every case makes if one does: a wrong name for a key, and a key that all lack."""


class RepeatedProblems:
    """Adds the problems of cases to a list, and those that repeat only once."""

    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems
        self._positions: dict[str, int] = {}
        self._repeats: dict[int, int] = {}

    def add_all(self, found: list[Problem]) -> None:
        """Add the problems of one case, except those that a case before it has as well."""
        for problem in found:
            folded = _FOLDED.match(problem.message)
            mistake = folded["mistake"] if folded else ""
            if mistake in self._positions:
                position = self._positions[mistake]
                self._repeats[position] = self._repeats.get(position, 0) + 1
                continue
            if mistake:
                self._positions[mistake] = len(self._problems)
            self._problems.append(problem)

    def count(self) -> None:
        """Append to each problem in how many other cases it is."""
        for position, count in self._repeats.items():
            problem = self._problems[position]
            others = f"{count:,} other cases" if count > 1 else "1 other case"
            message = f"{problem.message} The same in {others}."
            self._problems[position] = replace(problem, message=message)
