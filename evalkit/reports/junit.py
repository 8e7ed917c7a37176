"""A judged run as JUnit XML, in the dialect that GitLab, Jenkins and the GitHub readers agree on.

The file is red exactly when the exit code is not 0: what the gate allows is skipped, with the
reason, because a reader that fails builds on this file must not contradict the gate. Everything
that matters stands in the text of an element; some readers drop attributes, properties or all but
the first of equal names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, TypeAlias
from xml.etree import ElementTree as ET

from evalkit.records import Location, Trial
from evalkit.reports.facts import check_sentence
from evalkit.reports.report import Report
from evalkit.reports.standing import (
    BROKEN,
    STANDINGS,
    CaseResult,
    answer_text,
    case_results,
    input_text,
    json_text,
    passes_change,
    reason_text,
    telling_trial,
)
from evalkit.spelling import name_rule
from evalkit.text import head, one_line, xml_text
from evalkit.verdict import Check, Verdict

Kind: TypeAlias = Literal["failure", "error", "skipped"]

GATE_SUITE = "gates"
_LONGEST_NAME = 150
_LONGEST_MESSAGE = 300
_LONGEST_TEXT = 4000
# GitLab takes 30 MB per file.
_LONGEST_FILE = 20_000_000


class Mark(NamedTuple):
    """What keeps a test case from being plainly passed."""

    kind: Kind
    type: str
    message: str
    text: str


class Marked(NamedTuple):
    """A case or a threshold as a test: what it is called, where it stands, and what is wrong with it."""

    name: str
    classname: str
    where: Location
    time_s: float
    mark: Mark | None
    tags: tuple[str, ...] = ()
    flaky: bool = False


def _scores_text(trial: Trial) -> str:
    lines = []
    for score in trial.scores:
        word = {True: "passed", False: "failed", None: score.state}[score.passed]
        value = "" if score.value is None else f" {score.value:g}"
        lines.append(f"{score.metric}: {word}{value} {score.explanation}".rstrip())
    return "\n".join(lines)


def _evidence(result: CaseResult, limit: int) -> str:
    """What somebody needs to understand a case without opening anything else."""
    share = limit // 5
    parts = [f"{STANDINGS[result.standing]}; passes: {passes_change(result)}"]
    parts.append(f"input:\n{head(input_text(result.case), share)}")
    if result.case.expected is not None:
        parts.append(f"expected:\n{head(json_text(result.case.expected), share)}")
    trial = telling_trial(result.trials, passed=False)
    if trial is not None:
        error = trial.output.error
        if error is None:
            parts.append(f"output:\n{head(answer_text(trial.output), share)}")
            parts.append(f"scores:\n{head(_scores_text(trial), share)}")
        else:
            parts.append(head(f"{error.kind}: {error.message}\n{error.detail}", share))
    return head("\n\n".join(parts), limit)


def _case_mark(result: CaseResult, verdict: Verdict, limit: int) -> Mark | None:
    standing = result.standing
    if standing in ("passed", "fixed"):
        return None
    reason = reason_text(result)
    message = f"{STANDINGS[standing]}: {reason}" if reason else STANDINGS[standing]
    text = _evidence(result, limit)
    if standing == "not_run":
        return Mark("error", standing, message, text)
    if standing not in BROKEN:
        return Mark("skipped", standing, message, text)
    if verdict.exit_code == 0:
        return Mark("skipped", standing, f"allowed by the gate; {message}", text)
    return Mark("error" if standing == "error" else "failure", standing, message, text)


def _check_mark(check: Check) -> Mark | None:
    if check.outcome == "pass":
        return None
    if check.advisory:
        text = f"{check_sentence(check)}\n{check.advisory}"
        return Mark("skipped", "advisory", check.sentence, text)
    kinds: dict[str, Kind] = {"fail": "failure", "undecided": "error", "inconclusive": "skipped"}
    return Mark(kinds[check.outcome], check.outcome, check.sentence, check_sentence(check))


def _verdict_mark(verdict: Verdict) -> Mark | None:
    if verdict.exit_code == 0:
        if verdict.outcome == "pass":
            return None
        return Mark("skipped", verdict.outcome, verdict.reason, verdict.reason)
    kind: Kind = "failure" if verdict.outcome == "fail" else "error"
    text = "\n".join((verdict.reason, *verdict.notes))
    return Mark(kind, verdict.outcome, verdict.reason, text)


def mark_cases(report: Report) -> list[Marked]:
    """Every case as a test."""
    results = case_results(report)
    limit = max(400, min(_LONGEST_TEXT, _LONGEST_FILE // max(len(results), 1)))
    suite = report.run.header.evalset
    return [
        Marked(
            name=result.case.id,
            classname=f"{suite}.{result.case.tags[0]}" if result.case.tags else suite,
            where=result.case.where,
            time_s=sum(trial.output.latency_s for trial in result.trials),
            mark=_case_mark(result, report.verdict, limit),
            tags=result.case.tags,
            flaky=result.flaky,
        )
        for result in results
    ]


def mark_checks(report: Report) -> list[Marked]:
    """The verdict and every threshold as tests."""
    header, verdict = report.run.header, report.verdict
    classname = f"{header.evalset}.{GATE_SUITE}"
    whole = Location(path=header.evalset_path)
    marks = [
        ("verdict", whole, _verdict_mark(verdict)),
        *((name_rule(c.rule), c.rule.where, _check_mark(c)) for c in verdict.checks),
    ]
    return [
        Marked(name=name, classname=classname, where=where, time_s=0.0, mark=mark)
        for name, where, mark in marks
    ]


def _unique_names(names: Iterable[str]) -> list[str]:
    """Short clean names, each once: GitLab keeps only the first of equal ones."""
    taken: set[str] = set()
    unique = []
    for name in names:
        short = one_line(name, _LONGEST_NAME)
        candidate, number = short, 1
        while candidate in taken:
            number += 1
            candidate = f"{short} ({number})"
        taken.add(candidate)
        unique.append(candidate)
    return unique


def _totals(cases: Sequence[Marked]) -> dict[str, str]:
    kinds = [case.mark.kind for case in cases if case.mark]
    return {
        "tests": str(len(cases)),
        "failures": str(kinds.count("failure")),
        "errors": str(kinds.count("error")),
        "skipped": str(kinds.count("skipped")),
        "time": f"{sum(case.time_s for case in cases):.3f}",
    }


def _add_suite(root: ET.Element, name: str, cases: Sequence[Marked], created: str) -> None:
    about = {"name": _attribute(name), "timestamp": _attribute(created), **_totals(cases)}
    suite = ET.SubElement(root, "testsuite", about)
    for case, unique in zip(cases, _unique_names(case.name for case in cases), strict=True):
        attributes = {
            "name": unique,
            "classname": _attribute(case.classname),
            "time": f"{case.time_s:.3f}",
        }
        if case.where.path:
            attributes["file"] = _attribute(case.where.path)
        if case.where.line:
            attributes["line"] = str(case.where.line)
        element = ET.SubElement(suite, "testcase", attributes)
        if case.mark:
            mark = ET.SubElement(
                element,
                case.mark.kind,
                type=case.mark.type,
                message=one_line(case.mark.message, _LONGEST_MESSAGE),
            )
            mark.text = xml_text(head(case.mark.text, _LONGEST_TEXT))


def _attribute(text: str) -> str:
    return one_line(text, _LONGEST_NAME)


def render_junit(report: Report) -> str:
    """Render a judged run as JUnit XML: a suite of its cases and a suite of its thresholds."""
    header = report.run.header
    cases, gates = mark_cases(report), mark_checks(report)
    about = {"name": "evalkit", "timestamp": _attribute(header.created)}
    root = ET.Element("testsuites", {**about, **_totals([*cases, *gates])})
    _add_suite(root, header.evalset, cases, header.created)
    _add_suite(root, GATE_SUITE, gates, header.created)
    ET.indent(root)
    body = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'
