"""The verdict of what evalkit printed: the worst of its exit code and of every report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

WORST_FIRST = (130, 143, 70, 2, 1, 4, 3, 5, 0)
VERDICTS = ("undecided", "fail", "accepted", "inconclusive", "pass")


def parse_report(content: bytes) -> dict[str, Any]:
    """Return the report that a run printed; empty if it printed none."""
    try:
        report = json.loads(content)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def rank(code: int) -> int:
    """Return how bad an exit code is: the lower, the worse; an unknown one is the worst."""
    return WORST_FIRST.index(code) if code in WORST_FIRST else -1


def combine(code: int, report: Mapping[str, Any], accept: Sequence[str] = ()) -> tuple[int, str]:
    """Return the worse of the exit code and the report as an exit code and a verdict.

    Without a report, or with one that did not pass, a run cannot have passed, unless this step accepted it.
    """
    if code == 0 and accept and report.get("exit_code") == 0 and report.get("acceptance"):
        return 0, "accepted"
    outcome, stated = report.get("outcome"), report.get("exit_code", code)
    stated = stated if isinstance(stated, int) else 3
    if stated == 0 and outcome not in ("pass", "inconclusive"):
        stated = 1 if outcome == "fail" else 3
    worst = min((code, stated), key=rank)
    if worst == 0 or (outcome != "pass" and outcome in VERDICTS):
        return worst, str(outcome)
    return worst, "fail" if worst == 1 else "undecided"


def list_runs(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the entry of each run of several sets; empty for the report of one."""
    runs = document.get("runs")
    return [each for each in runs if isinstance(each, dict)] if isinstance(runs, list) else []


def combine_runs(code: int, document: Mapping[str, Any], accept: Sequence[str]) -> tuple[int, str]:
    """Return the worst of the exit code, the result of all sets, and that of each, as `combine` does."""
    found = [combine(code, document, accept)]
    for each in list_runs(document):
        # Where no case is selected, nothing was run; if that holds for all sets, the exit code is 5.
        if each.get("state") != "nothing_selected":
            stated, report = each.get("exit_code"), each.get("report")
            own = stated if isinstance(stated, int) else 3
            found.append(combine(own, report if isinstance(report, dict) else {}, accept))
    worst = min((found_code for found_code, _ in found), key=rank)
    words = [word for _, word in found]
    return worst, next((word for word in VERDICTS if word in words), "undecided")


def read_run_id(report: object) -> str:
    """Return the id of the run of a report; empty if there is none."""
    run = report.get("run") if isinstance(report, dict) else None
    found = run.get("id") if isinstance(run, dict) else None
    return str(found or "")


def read_means(report: object) -> dict[str, Any]:
    """Return the mean of every metric of a report."""
    metrics = report.get("metrics", []) if isinstance(report, dict) else []
    return {each["metric"]: each["mean"] for each in metrics if not each.get("tag")}
