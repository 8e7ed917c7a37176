"""Render a run as GitHub workflow commands that annotate broken cases at their lines.

A step shows only the first ten errors and the first ten warnings, so at most ten are written, worst first.
Data cannot form a command, because it is escaped and follows the `::` of a command written here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from evalkit.core.format import name_rule
from evalkit.core.location import Location
from evalkit.core.safe_text import escape_unsafe, head, one_line
from evalkit.report import case_status
from evalkit.report.model import Report

if TYPE_CHECKING:
    from evalkit.report.batch import Batch

MAX_ANNOTATIONS = 10
"""Annotations of one level that a step shows (docs.github.com, workflow commands)."""

_MAX_TITLE_CHARS = 120
_MAX_QUOTE_CHARS = 600


def render_github(report: Report) -> str:
    """Render one command per line: errors if the run failed, warnings if the gate lets it pass."""
    level = "error" if report.gate_result.exit_code else "warning"
    results = case_status.case_results(report.run, report.gate_result, report.baseline)
    # Half of the annotations are reserved for cases, which show what to fix.
    gate = islice(_gate_annotations(report, level), MAX_ANNOTATIONS // 2)
    lines = [*gate, *_case_annotations(results, level)]
    source = report.gate_result.definition
    if source is not None and source.warning:
        whole = Location(path=report.run.header.evalset_path)
        text = report.gate_result.definition_sentence
        lines.insert(0, _annotation("warning", whole, report.run.header.evalset, text))
    return "".join(f"{line}\n" for line in lines[:MAX_ANNOTATIONS])


def render_batch_github(batch: Batch) -> str:
    """Render the commands of several runs, as many of each as a step shows of all."""
    broken = [part for part in batch.parts if part.report is None and part.exit_code]
    lines = [
        _annotation(
            "warning" if part.state == "nothing_selected" else "error",
            Location(path=part.path),
            f"{part.label}: {part.word.lower()}",
            part.problem,
        )
        for part in broken
    ]
    rendered = [render_github(report).splitlines(keepends=True) for report in batch.reports]
    spoken = [found for found in rendered if found]
    share = max((MAX_ANNOTATIONS - len(lines)) // max(len(spoken), 1), 1)
    return "".join(
        (*(f"{line}\n" for line in lines), *(line for found in spoken for line in found[:share]))
    )


def _gate_annotations(report: Report, level: str) -> Iterator[str]:
    """Yield an annotation for every edit that loosens the gate, and every threshold that failed."""
    header = report.run.header
    failed = [
        check
        for check in report.gate_result.checks
        if check.outcome in ("fail", "undecided") and not check.advisory
    ]
    review = report.gate_result.gate
    for edit in review.loosening if review is not None and not review.accepted else ():
        yield _annotation(level, edit.where, f"{header.evalset}: loosens the gate", edit.sentence)
    for check in failed:
        title = f"{header.evalset}: {name_rule(check.rule)} {check.outcome}"
        yield _annotation(level, check.rule.where, title, check.sentence)
    # A run can fail without a threshold, for example with too many errors.
    if report.gate_result.exit_code and not failed:
        whole = Location(path=header.evalset_path)
        yield _annotation(level, whole, header.evalset, report.gate_result.reason)


def _case_annotations(results: Sequence[case_status.CaseResult], level: str) -> Iterator[str]:
    for result in case_status.worst_first(results):
        title = f"{result.case.id} {result.label} ({case_status.passes_change(result.change)})"
        yield _annotation(level, result.case.where, title, _message(result))


def _message(result: case_status.CaseResult) -> str:
    parts = [case_status.STATUS_TEXTS[result.status]]
    if reason := case_status.reason_text(result):
        parts.append(reason)
    if result.case.expected is not None:
        parts.append(
            f"expected: {head(case_status.json_text(result.case.expected), _MAX_QUOTE_CHARS)}"
        )
    trial = case_status.representative_trial(result.trials, passed=False)
    if trial is not None and trial.output.error is None:
        parts.append(f"got: {head(case_status.answer_text(trial.output), _MAX_QUOTE_CHARS)}")
    return "\n".join(parts)


def _annotation(level: str, where: Location, title: str, message: str) -> str:
    """Return one command with escaped data."""
    properties = {"title": one_line(title, _MAX_TITLE_CHARS)}
    if where.path:
        properties = {
            "file": escape_unsafe(where.path),
            "line": str(max(where.line, 1)),
            **properties,
        }
    named = ",".join(f"{name}={_escape_property(value)}" for name, value in properties.items())
    return f"::{level} {named}::{_escape(escape_unsafe(message, newlines=True))}"


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")
