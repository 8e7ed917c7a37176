"""Render a run in the Common Test Report Format (ctrf.io), with a test per case and threshold.

As in the JUnit report, tests fail only if the exit code is not 0. Failures that the gate allows are skipped
tests, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from evalkit import __version__
from evalkit.core.literals import Json
from evalkit.core.safe_text import format_json
from evalkit.report.junit import ReportedTest, list_case_tests, list_gate_tests
from evalkit.report.model import Report

SPEC_VERSION = "0.0.0"
_STATUSES = {"failure": "failed", "error": "failed", "skipped": "skipped"}


def render_ctrf(report: Report) -> str:
    """Render a run as one CTRF document."""
    header = report.run.header
    return render_tests(
        (*list_case_tests(report), *list_gate_tests(report)),
        created=header.created,
        environment={
            "reportName": header.evalset,
            "appVersion": header.agent_version,
            "commit": header.git_commit,
        },
        extra={
            "run": header.id,
            "outcome": report.gate_result.outcome,
            "exit_code": report.gate_result.exit_code,
            "reason": report.gate_result.reason,
            "definition": report.gate_result.definition_sentence,
        },
    )


def render_tests(
    reported: Sequence[ReportedTest],
    *,
    created: str,
    environment: Mapping[str, Json],
    extra: Mapping[str, Json],
) -> str:
    """Render tests as one CTRF document; `created` is an ISO 8601 time."""
    tests = [_test_entry(test) for test in reported]
    counts = dict.fromkeys(("passed", "failed", "skipped", "pending", "other"), 0)
    for test in tests:
        counts[test["status"]] += 1
    start_ms = _milliseconds(created)
    took_ms = sum(test["duration"] for test in tests)
    return format_json(
        {
            "reportFormat": "CTRF",
            "specVersion": SPEC_VERSION,
            "generatedBy": f"evalkit {__version__}",
            "results": {
                "tool": {"name": "evalkit", "version": __version__},
                "summary": {
                    "tests": len(tests),
                    **counts,
                    "flaky": sum(bool(test.get("flaky")) for test in tests),
                    "start": start_ms,
                    "stop": start_ms + took_ms,
                },
                "tests": tests,
                "environment": {**environment},
                "extra": {**extra},
            },
        }
    )


def _milliseconds(created: str) -> int:
    """Return a stored time as milliseconds since 1970, or 0 if it is not a valid time."""
    try:
        return round(datetime.fromisoformat(created).timestamp() * 1000)
    except ValueError:
        return 0


def _test_entry(test: ReportedTest) -> dict[str, Json]:
    entry: dict[str, Json] = {
        "name": test.name,
        "status": _STATUSES[test.issue.kind] if test.issue else "passed",
        "duration": round(test.time_s * 1000),
        "suite": [test.classname],
        "tags": list(test.tags),
        "flaky": test.flaky,
    }
    if test.where.path:
        entry["filePath"] = test.where.path
    if test.where.line:
        entry["line"] = test.where.line
    if raw := test.status or (test.issue.type if test.issue else ""):
        entry["rawStatus"] = raw
    if test.issue:
        entry["message"] = test.issue.message
        entry["trace"] = test.issue.text
    return entry
