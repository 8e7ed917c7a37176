"""Define the results of several runs by one command, and decide them as one result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evalkit.core.errors import EXIT_FAILED, EXIT_PASSED, choose_worst_code
from evalkit.core.format import format_count, name_rule
from evalkit.core.literals import Outcome
from evalkit.report import content
from evalkit.report.model import Hint, Report

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

_COUNTED: dict[Outcome | PartState, str] = {
    "pass": "passed",
    "inconclusive": "inconclusive",
    "fail": "failed",
    "undecided": "undecided",
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
        return self.report.gate_result.word

    @property
    def reason(self) -> str:
        """Why the run did not pass, or why there is none; for a run that passed, its reason as well."""
        return content.gate_reason(self.report.gate_result) if self.report else self.problem

    @property
    def has_no_result(self) -> bool:
        """Whether the run did not begin, or a signal ended it before it had a result."""
        return self.state == "not_run" or (self.state == "stopped" and self.exit_code >= SIGNALED)

    @property
    def headline(self) -> tuple[str, str, str]:
        """The threshold to show: its name, and its value in the baseline and in this run.

        That is the most urgent one, or if all hold, the first one of a metric. A run that ended early has
        none.
        """
        if self.report is None or not self.report.run.finished:
            return "", "", ""
        checks = content.checks_by_urgency(self.report.gate_result)
        if not checks:
            return "", "", ""
        of_metrics = [check for check in checks if check.rule.metric]
        chosen = checks[0] if checks[0].outcome != "pass" else (of_metrics or checks)[0]
        unit = content.unit_of(self.report.run.header, chosen)
        before, now, _ = content.check_cells(chosen, unit)
        return name_rule(chosen.rule), before, now

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
        """The result of all parts together."""
        if self.exit_code == EXIT_FAILED:
            return "fail"
        if self.exit_code != EXIT_PASSED:
            return "undecided"
        return "inconclusive" if any(part.word == "INCONCLUSIVE" for part in self.parts) else "pass"

    @property
    def reports(self) -> tuple[Report, ...]:
        """The reports of the parts that have one."""
        return tuple(part.report for part in self.parts if part.report is not None)

    @property
    def cases(self) -> int:
        """The number of cases of all reports."""
        return sum(len(report.run.header.cases) for report in self.reports)

    @property
    def reason(self) -> str:
        """How many parts have which result, as in `2 passed, 1 failed`."""
        counts: Counter[Outcome | PartState] = Counter(
            part.report.gate_result.outcome if part.report else part.state for part in self.parts
        )
        words = [f"{counts[key]:,} {word}" for key, word in _COUNTED.items() if counts[key]]
        return ", ".join(words) or f"no {self.noun}"

    @property
    def verdict(self) -> str:
        """The result with all counts in one line."""
        size = [self.reason, format_count(self.cases, "case")]
        if self.duration_s is not None:
            size.append(format_duration(self.duration_s))
        return "  ".join((*size, f"exit {self.exit_code}"))


def format_duration(seconds: float) -> str:
    """Return a duration for people.

    >>> format_duration(0.4), format_duration(56.4), format_duration(754.0), format_duration(7380.0)
    ('0.4 s', '56 s', '12 min 34 s', '2 h 3 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


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
