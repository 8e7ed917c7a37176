"""Define the results of several runs by one command, and decide them as one result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from evalkit.core.errors import EXIT_FAILED, EXIT_PASSED, ApprovalNeeded, choose_worst_code
from evalkit.core.format import format_count, format_duration
from evalkit.core.literals import COMPLETE, Outcome, result_word
from evalkit.report import content
from evalkit.report.model import Hint, Report
from evalkit.report.verdict import (
    HeadlineNumbers,
    headline_numbers,
    verdict_reason,
    verdict_word,
)

PartState: TypeAlias = Literal["decided", "nothing_selected", "not_run", "stopped"]
"""What became of one run: it has a report; the selection matches no case in it; the command ended before
it began; or an error stopped it."""

STATE_WORDS: dict[PartState, str] = {
    "decided": "",
    "nothing_selected": "NO CASES",
    "not_run": "NOT RUN",
    "stopped": "STOPPED",
}

SIGNALED = 128
"""Exit codes from here on are those of signals."""

_RESULTS = {
    "PASS": "passed",
    COMPLETE: "complete",
    "ACCEPTED": "accepted",
    "INCONCLUSIVE": "inconclusive",
    "FAIL": "failed",
    "UNDECIDED": "undecided",
    "NEEDS APPROVAL": "waiting for approval",
}
_WORST_WORDS = ("ACCEPTED", "INCONCLUSIVE", COMPLETE)
"""The words for all parts together if none failed, the worst first."""

_STATES: dict[PartState, str] = {
    "stopped": "stopped",
    "not_run": "not run",
    "nothing_selected": "without a selected case",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchPart:
    """One run of a batch: its report, or in `problem` why it has none.

    `label` is unique in the batch. `path` is the eval set. `exit_code` is that of the run by itself.
    """

    label: str
    path: str
    exit_code: int
    state: PartState = "decided"
    report: Report | None = None
    problem: str = ""

    @property
    def word(self) -> str:
        """The word for the result."""
        if self.report is None:
            return STATE_WORDS[self.state]
        return verdict_word(self.report.run.header, self.report.gate_result)

    @property
    def reason(self) -> str:
        """Why the run did not pass, or why there is none; for a run that passed, its reason as well."""
        if self.report is None:
            return self.problem
        return verdict_reason(self.report.run.header, self.report.gate_result)

    @property
    def result(self) -> str:
        """What became of the run, as in a count of runs: `passed`."""
        if self.report is None:
            return _STATES[self.state]
        return _RESULTS[self.word]

    @property
    def has_no_result(self) -> bool:
        """Whether the run did not begin, or a signal ended it before it had a result."""
        return self.state == "not_run" or (self.state == "stopped" and self.exit_code >= SIGNALED)

    @property
    def headline(self) -> HeadlineNumbers | None:
        """The threshold that decides the result; None if the run ended early, or no numbers say it."""
        if self.report is None or not self.report.run.finished:
            return None
        return headline_numbers(self.report.run.header, self.report.gate_result)

    @property
    def held(self) -> str:
        """How many of the thresholds hold, without advisory ones, as in `7/7`."""
        if self.report is None or not self.report.run.finished:
            return ""
        checks = [check for check in self.report.gate_result.checks if not check.advisory]
        return f"{sum(check.outcome == 'pass' for check in checks)}/{len(checks)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Several runs in the order of the command line. Their results together are one result.

    `noun` is what the parts are called: sets, or runs. `notes` inform the reader. `hints` are commands that
    continue the batch. `duration_s` is None if nothing was run.
    """

    parts: tuple[BatchPart, ...]
    noun: Literal["set", "run"] = "set"
    notes: tuple[str, ...] = ()
    hints: tuple[Hint, ...] = ()
    duration_s: float | None = None

    @property
    def exit_code(self) -> int:
        """The worst code of all parts in which a case was selected; 5 if there are none."""
        return choose_worst_code(
            part.exit_code for part in self.parts if part.state != "nothing_selected"
        )

    @property
    def outcome(self) -> Outcome:
        """The result of all parts together; if a person accepted one, what was accepted."""
        if self.exit_code == EXIT_FAILED:
            return "fail"
        if self.exit_code != EXIT_PASSED:
            return "undecided"
        found = {report.gate_result.outcome for report in self.reports}
        return next((each for each in content.URGENCY if each in found), "pass")

    @property
    def word(self) -> str:
        """The word for the result of all parts together."""
        if self.exit_code != EXIT_PASSED:
            needs_approval = self.exit_code == ApprovalNeeded.exit_code
            return result_word(self.outcome, needs_approval=needs_approval)
        words = {part.word for part in self.parts if part.report is not None}
        return next((each for each in _WORST_WORDS if each in words), "PASS")

    @property
    def reports(self) -> tuple[Report, ...]:
        """The reports of the parts that have one."""
        return tuple(part.report for part in self.parts if part.report is not None)

    @property
    def only_report(self) -> Report | None:
        """The report of a batch of one run, which reads like that of the run by itself; else None."""
        if len(self.parts) != 1 or self.parts[0].report is None:
            return None
        report = self.parts[0].report
        return replace(report, warnings=(*report.warnings, *self.notes))

    @property
    def cases(self) -> int:
        """The number of cases of all reports."""
        return sum(len(report.run.header.cases) for report in self.reports)

    @property
    def reason(self) -> str:
        """How many parts have which result, as in `2 passed, 1 failed`."""
        counts = Counter(part.result for part in self.parts)
        order = (*_RESULTS.values(), *_STATES.values())
        return ", ".join(f"{counts[each]:,} {each}" for each in order if counts[each]) or (
            f"no {self.noun}"
        )

    @property
    def facts(self) -> tuple[str, ...]:
        """The number of cases, the duration, and the exit code."""
        took = () if self.duration_s is None else (format_duration(self.duration_s),)
        return (format_count(self.cases, "case"), *took, f"exit {self.exit_code}")


def choose_labels(names: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return a unique label for each part, from its names in the order of preference.

    The first kind of name by which all parts differ is taken, else the last kind, with a number.

    >>> choose_labels([("echo", "a/echo.yaml"), ("echo", "b/echo.yaml")])
    ('a/echo.yaml', 'b/echo.yaml')
    """
    for kind in zip(*names, strict=True):
        if len(set(kind)) == len(kind):
            return kind
    return tuple(f"{each[-1]} ({number})" for number, each in enumerate(names, start=1))
