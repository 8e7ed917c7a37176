"""A judged run in the Common Test Report Format (ctrf.io), one test a case and one a threshold.

As in JUnit, a test has failed only where the exit code is not 0: what the gate allows is skipped, with
the reason.
"""

from __future__ import annotations

from datetime import datetime

from evalkit import __version__
from evalkit.core.literals import Json
from evalkit.core.safe_text import format_json
from evalkit.report.junit import ReportedTest, list_case_tests, list_gate_tests
from evalkit.report.model import Report

SPEC_VERSION = "0.0.0"
_STATUSES = {"failure": "failed", "error": "failed", "skipped": "skipped"}


def render_ctrf(report: Report) -> str:
    """Render a judged run as one CTRF document."""
    header = report.run.header
    tests = [_test_entry(marked) for marked in (*list_case_tests(report), *list_gate_tests(report))]
    counts = dict.fromkeys(("passed", "failed", "skipped", "pending", "other"), 0)
    for test in tests:
        counts[test["status"]] += 1
    start_ms = _milliseconds(header.created)
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
                "environment": {
                    "reportName": header.evalset,
                    "appVersion": header.agent_version,
                    "commit": header.git_commit,
                },
                "extra": {
                    "run": header.id,
                    "outcome": report.gate_result.outcome,
                    "exit_code": report.gate_result.exit_code,
                    "reason": report.gate_result.reason,
                },
            },
        }
    )


def _milliseconds(created: str) -> int:
    """Since 1970; 0 for a stored time that is none."""
    try:
        return round(datetime.fromisoformat(created).timestamp() * 1000)
    except ValueError:
        return 0


def _test_entry(marked: ReportedTest) -> dict[str, Json]:
    test: dict[str, Json] = {
        "name": marked.name,
        "status": _STATUSES[marked.issue.kind] if marked.issue else "passed",
        "duration": round(marked.time_s * 1000),
        "suite": [marked.classname],
        "tags": list(marked.tags),
        "flaky": marked.flaky,
    }
    if marked.where.path:
        test["filePath"] = marked.where.path
    if marked.where.line:
        test["line"] = marked.where.line
    if marked.issue:
        test["rawStatus"] = marked.issue.type
        test["message"] = marked.issue.message
        test["trace"] = marked.issue.text
    return test
