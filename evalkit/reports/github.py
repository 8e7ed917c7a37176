"""A judged run as workflow commands of GitHub, which mark the cases that broke at their lines.

A step shows ten errors and ten warnings, the first that come: the worst come first, and no more are
written. Data never forms a command: it stands after the `::` of one of ours, escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evalkit.records import Location
from evalkit.reports.report import Report
from evalkit.reports.standing import (
    STANDINGS,
    CaseResult,
    answer_text,
    case_results,
    json_text,
    passes_change,
    reason_text,
    telling_trial,
    worst_first,
)
from evalkit.spelling import name_rule
from evalkit.text import clean, head, one_line

MOST_ANNOTATIONS = 10
"""Of one level that a step shows (docs.github.com, workflow commands)."""

_LONGEST_TITLE = 120
_LONGEST_QUOTE = 600


def render_github(report: Report) -> str:
    """The commands, one a line; errors where the run is red, warnings where the gate lets it pass."""
    level = "error" if report.verdict.exit_code else "warning"
    lines = [*_of_checks(report, level), *_of_cases(case_results(report), level)]
    return "".join(f"{line}\n" for line in lines[:MOST_ANNOTATIONS])


def _of_checks(report: Report, level: str) -> Iterator[str]:
    """Every threshold that failed, and every one that is undecided."""
    header = report.run.header
    red = [
        check
        for check in report.verdict.checks
        if check.outcome in ("fail", "undecided") and not check.advisory
    ]
    for check in red[: MOST_ANNOTATIONS // 2]:
        title = f"{header.evalset}: {name_rule(check.rule)} {check.outcome}"
        yield annotation(level, check.rule.where, title, check.sentence)
    if report.verdict.exit_code and not red:
        whole = Location(path=header.evalset_path)
        yield annotation(level, whole, header.evalset, report.verdict.reason)


def _of_cases(results: Sequence[CaseResult], level: str) -> Iterator[str]:
    for result in worst_first(results):
        title = f"{result.case.id} {result.standing} ({passes_change(result)})"
        yield annotation(level, result.case.where, title, _message(result))


def _message(result: CaseResult) -> str:
    parts = [STANDINGS[result.standing]]
    if reason := reason_text(result):
        parts.append(reason)
    if result.case.expected is not None:
        parts.append(f"expected: {head(json_text(result.case.expected), _LONGEST_QUOTE)}")
    trial = telling_trial(result.trials, passed=False)
    if trial is not None and trial.output.error is None:
        parts.append(f"got: {head(answer_text(trial.output), _LONGEST_QUOTE)}")
    return "\n".join(parts)


def annotation(level: str, where: Location, title: str, message: str) -> str:
    """One command; what it says is shown as text, whatever it holds."""
    properties = {"title": one_line(title, _LONGEST_TITLE)}
    if where.path:
        properties = {"file": clean(where.path), "line": str(max(where.line, 1)), **properties}
    named = ",".join(f"{name}={_escape_property(value)}" for name, value in properties.items())
    return f"::{level} {named}::{_escape(clean(message, newlines=True))}"


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")
