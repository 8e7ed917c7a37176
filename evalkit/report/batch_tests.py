"""Render several runs as one JUnit or CTRF file: the tests of each run, named after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalkit.core.literals import Json
from evalkit.core.location import Location
from evalkit.report.batch import Batch, BatchPart
from evalkit.report.ctrf import render_tests
from evalkit.report.junit import (
    GATE_SUITE,
    IssueKind,
    ReportedTest,
    TestIssue,
    add_gate_suite,
    add_suite,
    list_case_tests,
    list_gate_tests,
    open_document,
    render_document,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _PartTests:
    part: BatchPart
    cases: Sequence[ReportedTest]
    gates: Sequence[ReportedTest]


def render_batch_junit(batch: Batch) -> str:
    """Render several runs as JUnit XML, with a suite of cases and a suite of thresholds for each run."""
    found = list(_list_tests(batch))
    created = max((report.run.header.created for report in batch.reports), default="")
    root = open_document([test for each in found for test in (*each.cases, *each.gates)], created)
    for each in found:
        report, label = each.part.report, each.part.label
        if report is None:
            add_suite(root, label, each.gates, created)
            continue
        add_suite(root, label, each.cases, report.run.header.created)
        add_gate_suite(root, f"{label} {GATE_SUITE}", each.gates, report)
    return render_document(root)


def render_batch_ctrf(batch: Batch) -> str:
    """Render several runs as one CTRF document."""
    tests = [test for each in _list_tests(batch) for test in (*each.cases, *each.gates)]
    runs: list[Json] = [
        {
            "label": part.label,
            "run": part.report.run.header.id if part.report else "",
            "exit_code": part.exit_code,
            "reason": part.reason,
        }
        for part in batch.parts
    ]
    headers = [report.run.header for report in batch.reports]
    return render_tests(
        tests,
        created=min((header.created for header in headers), default=""),
        environment={
            "reportName": ", ".join(part.label for part in batch.parts),
            "appVersion": ", ".join(dict.fromkeys(header.agent_version for header in headers)),
            "commit": ", ".join(dict.fromkeys(header.git_commit for header in headers)),
        },
        extra={
            "outcome": batch.outcome,
            "exit_code": batch.exit_code,
            "reason": batch.reason,
            "runs": runs,
        },
    )


def _list_tests(batch: Batch) -> Iterator[_PartTests]:
    """Yield the tests of each run, with classes that are unique in the batch."""
    for part in batch.parts:
        if part.report is None:
            yield _PartTests(part=part, cases=(), gates=(_missing_run_test(part),))
            continue
        name = part.report.run.header.evalset
        cases, gates = (
            [_rename_class(test, name, part.label) for test in tests]
            for tests in (list_case_tests(part.report), list_gate_tests(part.report))
        )
        yield _PartTests(part=part, cases=cases, gates=gates)


def _rename_class(test: ReportedTest, name: str, label: str) -> ReportedTest:
    return test._replace(classname=label + test.classname.removeprefix(name))


def _missing_run_test(part: BatchPart) -> ReportedTest:
    """Return a run without a report as a test that did not pass."""
    kind: IssueKind = "skipped" if part.state == "nothing_selected" else "error"
    first = part.problem.partition("\n")[0]
    return ReportedTest(
        name="verdict",
        classname=f"{part.label}.{GATE_SUITE}",
        where=Location(path=part.path),
        time_s=0.0,
        issue=TestIssue(kind, part.state, first, part.problem),
    )
