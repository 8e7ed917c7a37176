"""Write the result of a gate on traffic as JSON, Markdown, and JUnit XML."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from evalkit.core.format import name_rule
from evalkit.core.literals import Json
from evalkit.core.location import NO_LOCATION, Location
from evalkit.core.safe_text import format_json
from evalkit.core.serialization import to_json_value
from evalkit.report import content
from evalkit.report.junit import (
    IssueKind,
    ReportedTest,
    TestIssue,
    add_suite,
    open_document,
    render_document,
)
from evalkit.report.markdown import (
    code_cell,
    details_block,
    join_blocks,
    markdown_table,
    plain_cell,
    sentence_text,
)
from evalkit.report.threshold_lines import interval_text
from evalkit.traffic.gate_records import Side, TrafficCheck
from evalkit.traffic.gate_result import TrafficGate
from evalkit.traffic.gate_text import all_notes, period_text, title_text
from evalkit.traffic.periods import Period

SCHEMA = "evalkit.traffic_gate/v1"

_KINDS: dict[str, IssueKind] = {"fail": "failure", "undecided": "error", "inconclusive": "skipped"}


def gate_json(gate: TrafficGate) -> str:
    """Return the result as JSON."""
    result = gate.result
    return format_json(
        {
            "schema": SCHEMA,
            "outcome": result.outcome,
            "result": result.word,
            "exit_code": result.exit_code,
            "reason": result.reason,
            "candidate": _period_json(gate.candidate),
            "against": [_period_json(each) for each in gate.earlier],
            "same_days": gate.is_concurrent,
            "thresholds": [_check_json(each) for each in gate.checks],
            "notes": list(result.notes),
            "gate": None if result.gate is None else to_json_value(result.gate),
            "definition": None if result.definition is None else to_json_value(result.definition),
            "acceptance": None if result.acceptance is None else to_json_value(result.acceptance),
        }
    )


def _period_json(period: Period) -> dict[str, Json]:
    chosen = period.selection
    return {
        "name": period.name,
        "version": chosen.version,
        "variant": chosen.variant,
        "environment": chosen.environment,
        "days": [str(day) for day in period.days],
        "requests": period.requests,
        "users": period.users,
        "requests_of_unknown_users": period.unknown_users,
        "top_user_share": period.top_share,
        "requests_of_mixed_sessions": period.mixed,
        "sampled_requests": period.sampled,
        "incomplete_requests": period.incomplete,
        "retried_attempts": period.retried,
        "requests_of_other_days": period.left_out,
        "imported": period.imported,
    }


def _check_json(each: TrafficCheck) -> dict[str, Json]:
    check = each.check
    rule = check.rule
    names = ("min", "max", "max_drop", "max_rise")
    limit = next(name for name in names if getattr(rule, name) is not None)
    return {
        "metric": rule.metric,
        "stat": rule.stat,
        "unit": each.unit,
        "limit": limit,
        "allowed": getattr(rule, limit),
        "alpha": rule.alpha,
        "outcome": check.outcome,
        "sentence": check.sentence,
        "to_decide": check.to_decide,
        "baseline": check.baseline,
        "candidate": check.candidate,
        "difference": check.difference,
        "low": check.low,
        "high": check.high,
        "p_value": check.p_value,
        "level": check.false_alarm,
        "weighted_by": each.compared.strata if each.compared else None,
        "periods": list(each.compared.periods) if each.compared else [],
        "shared_users": each.compared.shared_users if each.compared else None,
        "counts": _side_json(each.candidate),
        "counts_against": [_side_json(side) for side in each.earlier],
        "where": str(rule.where),
    }


def _side_json(side: Side) -> dict[str, Json]:
    return {"requests": side.requests, "known": side.known, "users": side.users}


def gate_markdown(gate: TrafficGate) -> str:
    """Return the result as Markdown for a step summary or a comment."""
    result = gate.result
    rows = []
    for each in gate.checks:
        before, now, change = content.check_cells(each.check, each.unit)
        limit = content.limit_cell(each.check.rule, each.unit)
        numbers = (before, now, change, interval_text(each.check, each.unit), limit)
        name = code_cell(name_rule(each.check.rule))
        rows.append((content.outcome_word(each.check), name, *map(plain_cell, numbers)))
    titles = ("Result", "Threshold", "Before", "Now", "Change", "Interval", "Allowed")
    periods = "\n".join(f"- {sentence_text(period_text(each))}" for each in (gate.candidate, *gate.earlier))  # fmt: skip
    notes = "\n".join(f"- {sentence_text(note)}" for note in all_notes(gate))
    return (
        join_blocks(
            (
                f"### {result.word}: {sentence_text(title_text(gate))}",
                sentence_text(result.reason),
                markdown_table(titles, rows, right=(2, 3, 4, 5)),
                periods,
                details_block("Notes", [notes] if notes else []),
            )
        )
        + "\n"
    )


def gate_junit(gate: TrafficGate, created: str) -> str:
    """Return the result as JUnit XML, which has failures or errors exactly if the exit code is not 0."""
    result = gate.result
    tests = [
        _test(gate, "verdict", NO_LOCATION if not gate.checks else gate.checks[0].check.rule.where, _verdict_issue(gate)),
        *(_test(gate, name_rule(each.check.rule), each.check.rule.where, _check_issue(gate, each)) for each in gate.checks),
    ]  # fmt: skip
    if result.gate is not None:
        tests += [
            _test(gate, f"edit of the gate: {edit.sentence}", edit.where, _edit_issue(gate, str(edit)) if edit.loosened else None)
            for edit in result.gate.changes
        ]  # fmt: skip
    root: ET.Element = open_document(tests, created)
    add_suite(root, f"traffic {gate.candidate.name}", tests, created)
    return render_document(root)


def _test(gate: TrafficGate, name: str, where: Location, issue: TestIssue | None) -> ReportedTest:
    classname = f"traffic.{gate.candidate.name}"
    return ReportedTest(name=name, classname=classname, where=where, time_s=0.0, issue=issue)


def _verdict_issue(gate: TrafficGate) -> TestIssue | None:
    result = gate.result
    if result.exit_code == 0 and result.outcome == "pass":
        return None
    kind: IssueKind = "failure" if result.outcome == "fail" else "error"
    if result.exit_code == 0:
        kind = "skipped"
    text = "\n".join((result.reason, *all_notes(gate)))
    return TestIssue(kind, result.outcome, result.reason, text)


def _check_issue(gate: TrafficGate, each: TrafficCheck) -> TestIssue | None:
    check = each.check
    if check.outcome == "pass":
        return None
    kind = "skipped" if gate.result.exit_code == 0 else _KINDS[check.outcome]
    return TestIssue(kind, check.outcome, check.sentence, content.check_sentence(check))


def _edit_issue(gate: TrafficGate, text: str) -> TestIssue:
    kind: IssueKind = "skipped" if gate.result.exit_code == 0 else "failure"
    return TestIssue(kind, "gate_edit", text, text)
