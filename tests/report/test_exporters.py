"""CTRF, CSV and GitHub annotations: valid by their published schemas, whatever the data says."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pandas as pd
import pytest
import xmlschema

from evalkit.report.csv import render_csv
from evalkit.report.ctrf import render_ctrf
from evalkit.report.github import MAX_ANNOTATIONS, render_github
from evalkit.report.json import render_json
from evalkit.report.junit import render_junit
from evalkit.report.model import Report
from tests.report.test_safety import NAUGHTY, before_each, poison
from tests.support.paths import TESTS
from tests.support.report_samples import failing_report

CTRF = json.loads((TESTS / "schemas" / "ctrf.schema.json").read_text())
naughty_texts = pytest.mark.parametrize("naughty", NAUGHTY.values(), ids=NAUGHTY.keys())


def allowed(report: Report) -> Report:
    """The report as it would be if the gate let it pass."""
    return replace(report, gate_result=replace(report.gate_result, outcome="pass", exit_code=0))


def table(text: str) -> Any:
    frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    return frame.to_dict("records")


@naughty_texts
def test_ctrf_is_valid_by_its_schema(naughty: str) -> None:
    for report in (failing_report(), poison(failing_report(), before_each(naughty))):
        jsonschema.validate(json.loads(render_ctrf(report)), CTRF)


def test_ctrf_counts_what_the_json_report_counts() -> None:
    report = failing_report()
    document = json.loads(render_ctrf(report))["results"]
    statuses = json.loads(render_json(report))["statuses"]
    tests = document["tests"]
    broken = {"regressed", "failing", "error"}
    failed = sum(statuses[name] for name in broken) + statuses["not_run"]
    gates = [test for test in tests if test["suite"][0].endswith(".gates")]
    cases = [test for test in tests if test not in gates]
    assert len(cases) == sum(statuses.values())
    assert sum(test["status"] == "failed" for test in cases) == failed
    assert document["summary"]["tests"] == len(tests)
    assert document["summary"]["failed"] == sum(test["status"] == "failed" for test in tests)
    assert all(
        test["status"] != "failed"
        for test in json.loads(render_ctrf(allowed(report)))["results"]["tests"]
        if "not_run" not in str(test.get("rawStatus")) and test in cases
    )


@naughty_texts
def test_no_cell_of_a_csv_is_a_formula_and_each_reads_back(naughty: str) -> None:
    rows = table(render_csv(poison(failing_report(), before_each(naughty))))
    assert len(rows) == len(failing_report().run.header.cases)
    for row in rows:
        for name, cell in row.items():
            if not re.fullmatch(r"-?[0-9.]+(e-?[0-9]+)?", cell):
                assert not cell.lstrip().startswith(("=", "+", "-", "@", "\t", "\r")), (name, cell)


def test_a_csv_holds_a_row_a_case_and_a_column_a_metric() -> None:
    report = failing_report()
    rows = table(render_csv(report))
    document = json.loads(render_json(report))
    assert [row["case"] for row in rows] == [case["id"] for case in document["cases"]]
    assert [row["status"] for row in rows] == [case["status"] for case in document["cases"]]
    assert {metric["name"] for metric in document["run"]["metrics"]} <= rows[0].keys()
    assert all(
        int(row["passed"]) == case["passed"]
        for row, case in zip(rows, document["cases"], strict=True)
    )


@naughty_texts
def test_data_forms_no_workflow_command(naughty: str) -> None:
    benign = render_github(failing_report()).splitlines()
    lines = render_github(poison(failing_report(), before_each(naughty))).split("\n")[:-1]
    assert len(lines) == len(benign)
    for line in lines:
        assert re.match(r"::error (file=[^:,]*,line=[0-9]+,)?title=[^:,]*::", line), line
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", line)


def test_annotations_mark_the_worst_cases_at_their_lines() -> None:
    report = failing_report()
    lines = render_github(report).splitlines()
    assert len(lines) <= MAX_ANNOTATIONS
    regressed = [
        case for case in json.loads(render_json(report))["cases"] if case["status"] == "regressed"
    ]
    for case in regressed:
        [line] = [line for line in lines if f"title={case['id']} regressed" in line]
        assert f"file={case['path']},line={case['line']}," in line
        assert "got%3A" in line or "got:" in line
    assert all(
        line.startswith("::warning ") for line in render_github(allowed(report)).splitlines()
    )


BEYOND_JUNIT_10 = {
    "testsuites": ("skipped", "timestamp"),
    "testcase": ("file", "line"),
}
"""What readers show and the xUnit plugin's schema, the strictest there is, has no place for."""


@naughty_texts
def test_junit_is_valid_by_its_strictest_schema_but_for_what_readers_want(naughty: str) -> None:
    schema = xmlschema.XMLSchema(TESTS / "schemas" / "junit-10.xsd")
    root = ET.fromstring(render_junit(poison(failing_report(), before_each(naughty))))
    for element in root.iter():
        for name in BEYOND_JUNIT_10.get(element.tag, ()):
            element.attrib.pop(name, None)
    schema.validate(root)
