"""Render a run as JUnit XML that GitLab, Jenkins, and the GitHub readers understand.

The file has failures or errors exactly if the exit code is not 0, because CI tools may fail a build on
this file and must agree with the gate. Failures that the gate allows are skipped tests, with the reason.
Everything important is in the text of an element, because some readers drop attributes, properties, or all
but the first of equal names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, TypeAlias
from xml.etree import ElementTree as ET

from evalkit.core.format import name_rule
from evalkit.core.gate_result import Check, GateChange, GateResult, GateReview
from evalkit.core.literals import COMPLETE
from evalkit.core.location import Location
from evalkit.core.run import RunHeader
from evalkit.core.safe_text import escape_xml, head, one_line
from evalkit.core.trial import Trial
from evalkit.report import case_status
from evalkit.report.breakage import differences_by_case
from evalkit.report.content import check_sentence
from evalkit.report.model import Report
from evalkit.report.verdict import is_complete_shard, verdict_reason

IssueKind: TypeAlias = Literal["failure", "error", "skipped"]

GATE_SUITE = "gates"
_MAX_NAME_CHARS = 150
_MAX_MESSAGE_CHARS = 300
_MAX_TEXT_CHARS = 4000
# GitLab accepts 30 MB per file.
_MAX_FILE_BYTES = 20_000_000


class TestIssue(NamedTuple):
    """Why a test did not pass."""

    kind: IssueKind
    type: str
    message: str
    text: str


class ReportedTest(NamedTuple):
    """A case or a threshold as a test: its name, its location, and its issue if it has one.

    `status` is that of a case; a threshold has none.
    """

    name: str
    classname: str
    where: Location
    time_s: float
    issue: TestIssue | None
    tags: tuple[str, ...] = ()
    status: str = ""
    flaky: bool = False


def _scores_text(trial: Trial) -> str:
    lines = []
    for score in trial.scores:
        word = {True: "passed", False: "failed", None: score.state}[score.passed]
        value = "" if score.value is None else f" {score.value:g}"
        lines.append(f"{score.metric}: {word}{value} {score.explanation}".rstrip())
    return "\n".join(lines)


def _evidence(result: case_status.CaseResult, limit: int, difference: str) -> str:
    """Return everything a reader needs to understand the result of a case."""
    # Input, expected answer, output, scores, and the rest share the space.
    share = limit // 5
    passes = case_status.passes_change(result.change)
    parts = [f"{case_status.STATUS_TEXTS[result.status]}; passes: {passes}"]
    parts.append(f"input:\n{head(case_status.input_text(result.case), share)}")
    if result.case.expected is not None:
        parts.append(f"expected:\n{head(case_status.json_text(result.case.expected), share)}")
    trial = case_status.representative_trial(result.trials, passed=False)
    if trial is not None:
        if trial.output.error is None:
            parts.append(f"output:\n{head(case_status.answer_text(trial.output), share)}")
            parts.append(f"scores:\n{head(_scores_text(trial), share)}")
        else:
            parts.append(
                head(f"{case_status.error_text(trial.output)}\n{trial.output.error.detail}", share)
            )
    if difference:
        parts.insert(1, f"first difference from the baseline: {head(difference, share)}")
    return head("\n\n".join(parts), limit)


def _case_issue(
    result: case_status.CaseResult, gate_result: GateResult, limit: int, difference: str
) -> TestIssue | None:
    status = result.status
    if not result.is_broken and status in ("passed", "fixed", "flaky") and not result.fails:
        return None
    reason = case_status.reason_text(result)
    message = (
        f"{case_status.STATUS_TEXTS[status]}: {reason}"
        if reason
        else case_status.STATUS_TEXTS[status]
    )
    kind: IssueKind = "failure"
    if status in ("not_run", "error"):
        kind = "error"
    if result.is_broken and gate_result.exit_code == 0:
        kind, message = "skipped", f"allowed by the gate; {message}"
    elif not result.is_broken and status != "not_run":
        kind = "skipped"
    return TestIssue(kind, status, message, _evidence(result, limit, difference))


def _check_issue(check: Check, gate_result: GateResult) -> TestIssue | None:
    if check.outcome == "pass":
        return None
    if check.advisory:
        text = f"{check_sentence(check)}\n{check.advisory}"
        return TestIssue("skipped", "advisory", check.sentence, text)
    kinds: dict[str, IssueKind] = {
        "fail": "skipped" if gate_result.acceptance else "failure",
        "undecided": "error",
        "inconclusive": "skipped",
    }
    return TestIssue(kinds[check.outcome], check.outcome, check.sentence, check_sentence(check))


def _gate_issue(header: RunHeader, gate_result: GateResult) -> TestIssue | None:
    if is_complete_shard(header, gate_result):
        reason = verdict_reason(header, gate_result)
        return TestIssue("skipped", COMPLETE.lower(), f"{COMPLETE} {reason}", reason)
    if gate_result.exit_code == 0:
        if gate_result.outcome == "pass":
            return None
        return TestIssue("skipped", gate_result.outcome, gate_result.reason, gate_result.reason)
    kind: IssueKind = "failure" if gate_result.outcome == "fail" else "error"
    text = "\n".join((gate_result.reason, *gate_result.notes))
    return TestIssue(kind, gate_result.outcome, gate_result.reason, text)


def _edit_issue(edit: GateChange, review: GateReview) -> TestIssue | None:
    if not edit.loosened:
        return None
    kind: IssueKind = "skipped" if review.accepted else "failure"
    why = "accepted" if review.accepted else "loosens the gate"
    return TestIssue(kind, "gate_edit", f"{why}: {edit}", str(edit))


def list_case_tests(report: Report) -> list[ReportedTest]:
    """Return every case as a test."""
    results = case_status.case_results(report.run, report.gate_result, report.baseline)
    limit = max(400, min(_MAX_TEXT_CHARS, _MAX_FILE_BYTES // max(len(results), 1)))
    suite = report.run.header.evalset
    differences = differences_by_case(report.breakage)
    return [
        ReportedTest(
            name=result.case.id,
            classname=f"{suite}.{result.case.tags[0]}" if result.case.tags else suite,
            where=report.place(result.case.where),
            time_s=sum(trial.output.latency_s for trial in result.trials),
            issue=_case_issue(
                result, report.gate_result, limit, differences.get(result.case.id, "")
            ),
            tags=result.case.tags,
            status=result.status,
            flaky=result.change.flaky,
        )
        for result in results
    ]


def list_gate_tests(report: Report) -> list[ReportedTest]:
    """Return the gate result, every threshold, and every edit of the gate as tests."""
    header, gate_result = report.run.header, report.gate_result
    classname = f"{header.evalset}.{GATE_SUITE}"
    # The gate result has no line, so readers link to the file of the set.
    whole = Location(path=header.evalset_path)
    issues = [
        ("verdict", whole, _gate_issue(header, gate_result)),
        *(
            (name_rule(c.rule), c.rule.where, _check_issue(c, gate_result))
            for c in gate_result.checks
        ),
    ]
    if review := gate_result.gate:
        issues += [
            (f"edit of the gate: {edit.sentence}", edit.where, _edit_issue(edit, review))
            for edit in review.changes
        ]
    return [
        ReportedTest(
            name=name, classname=classname, where=report.place(where), time_s=0.0, issue=issue
        )
        for name, where, issue in issues
    ]


def _unique_names(names: Iterable[str]) -> list[str]:
    """Return short safe names without duplicates, because GitLab keeps only the first of equal names."""
    taken: set[str] = set()
    unique = []
    for name in names:
        short = one_line(name, _MAX_NAME_CHARS)
        candidate, number = short, 1
        while candidate in taken:
            number += 1
            candidate = f"{short} ({number})"
        taken.add(candidate)
        unique.append(candidate)
    return unique


def count_tests(cases: Sequence[ReportedTest]) -> dict[str, str]:
    """Return the number of tests and of each kind of issue, and their seconds, as attributes."""
    kinds = [case.issue.kind for case in cases if case.issue]
    return {
        "tests": str(len(cases)),
        "failures": str(kinds.count("failure")),
        "errors": str(kinds.count("error")),
        "skipped": str(kinds.count("skipped")),
        "time": f"{sum(case.time_s for case in cases):.3f}",
    }


def add_suite(
    root: ET.Element, name: str, cases: Sequence[ReportedTest], created: str
) -> ET.Element:
    """Add a suite of tests to a document, and return it."""
    about = {"name": _attribute(name), "timestamp": _attribute(created), **count_tests(cases)}
    suite = ET.SubElement(root, "testsuite", about)
    for case, unique in zip(cases, _unique_names(case.name for case in cases), strict=True):
        attributes = {
            "name": unique,
            "classname": _attribute(case.classname),
            "time": f"{case.time_s:.3f}",
        }
        # `file` and `line` are not part of the xUnit schema, but GitHub readers link to them.
        if case.where.path:
            attributes["file"] = _attribute(case.where.path)
        if case.where.line:
            attributes["line"] = str(case.where.line)
        element = ET.SubElement(suite, "testcase", attributes)
        if case.issue:
            issue = ET.SubElement(
                element,
                case.issue.kind,
                type=case.issue.type,
                message=one_line(case.issue.message, _MAX_MESSAGE_CHARS),
            )
            issue.text = escape_xml(head(case.issue.text, _MAX_TEXT_CHARS))
    return suite


def _attribute(text: str) -> str:
    return one_line(text, _MAX_NAME_CHARS)


def add_gate_suite(
    root: ET.Element, name: str, gates: Sequence[ReportedTest], report: Report
) -> None:
    """Add the suite of thresholds to a document, with where their definition came from."""
    suite = add_suite(root, name, gates, report.run.header.created)
    if text := report.gate_result.definition_sentence:
        # Readers expect the properties of a suite before its tests.
        properties = ET.Element("properties")
        value = one_line(text, _MAX_MESSAGE_CHARS)
        ET.SubElement(properties, "property", name="gate definition", value=value)
        suite.insert(0, properties)


def render_junit(report: Report) -> str:
    """Render a run as JUnit XML with one suite of cases and one suite of thresholds."""
    header = report.run.header
    cases, gates = list_case_tests(report), list_gate_tests(report)
    root = open_document([*cases, *gates], header.created)
    add_suite(root, header.evalset, cases, header.created)
    add_gate_suite(root, GATE_SUITE, gates, report)
    return render_document(root)


def open_document(tests: Sequence[ReportedTest], created: str) -> ET.Element:
    """Return the root of a document for tests that suites will contain."""
    about = {"name": "evalkit", "timestamp": _attribute(created)}
    return ET.Element("testsuites", {**about, **count_tests(tests)})


def render_document(root: ET.Element) -> str:
    """Render a document as text."""
    ET.indent(root)
    body = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'
