"""Random pairs of runs: every report gives each case the same status, and names the same flaky cases."""

from __future__ import annotations

import csv
import io
import json
import re
from xml.etree import ElementTree as ET

from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.compare.matrix import build_matrix
from evalkit.compare.pairs import compare_runs
from evalkit.core.eval_set import Rule
from evalkit.core.run import Run
from evalkit.gate.decide import decide_gate
from evalkit.report.csv import render_csv
from evalkit.report.ctrf import render_ctrf
from evalkit.report.diff import diff_json, diff_markdown
from evalkit.report.diff_text import diff_text
from evalkit.report.github import render_github
from evalkit.report.html.report import render_html
from evalkit.report.json import render_json
from evalkit.report.junit import render_junit
from evalkit.report.markdown import render_markdown
from evalkit.report.model import Diff, Report
from evalkit.report.screen import Screen
from evalkit.report.terminal import render_terminal
from tests.support.run_samples import Cell, make_run

CASES = ("a1", "b1", "c1", "d1")
RULES = (
    Rule(max_regressed=0),
    Rule(must_pass=()),
    Rule(metric="has", max_drop=0.02),
    Rule(metric="exact", min=0.9, test="point"),
)
BROKEN = ("regressed", "failing", "error")


@st.composite
def runs(draw: st.DrawFn, trials: st.SearchStrategy[int]) -> Run:
    """A run of four cases by two metrics, some of whose trials are lost or were not run."""
    count = draw(trials)
    cells_of: list[Cell] = [0, 1, 1, 1, "judge_error"]
    cell = st.sampled_from(cells_of)
    row = st.lists(cell, min_size=count, max_size=count)
    names = draw(st.sampled_from([("has", "exact"), ("has", "exact"), ("has",)]))
    cells = {name: {case: draw(row) for case in CASES} for name in names}
    numbers = st.sets(st.tuples(st.sampled_from(CASES), st.integers(0, count - 1)), max_size=2)
    digests = draw(st.sampled_from([{}, {}, {"d1": "edited"}]))
    return make_run(cells, lost=tuple(draw(numbers)), absent=tuple(draw(numbers)), digests=digests)


def judge(run: Run, baseline: Run | None) -> Report:
    result = decide_gate(RULES, run, baseline, max_errors=9, on_inconclusive="pass")
    return Report(run=run, gate_result=result, baseline=baseline)


@settings(max_examples=40, deadline=None)
@given(runs(st.integers(1, 4)), runs(st.integers(1, 3)), st.booleans())
def test_all_reports_of_a_run_give_each_case_the_same_status(
    baseline: Run, run: Run, is_compared: bool
) -> None:
    report = judge(run, baseline if is_compared else None)
    cases = {case["id"]: case for case in json.loads(render_json(report))["cases"]}
    wanted = {name: case["status"] for name, case in cases.items()}
    flaky = {name for name, case in cases.items() if case["flaky"]}

    rows = list(csv.DictReader(io.StringIO(render_csv(report))))
    assert {row["case"]: row["status"] for row in rows} == wanted
    assert {row["case"] for row in rows if row["flaky"] == "1"} == flaky

    suite = ET.fromstring(render_junit(report)).findall("testsuite")[0]
    issues = {test.get("name"): [issue.get("type") for issue in test] for test in suite}
    silent = {name for name, found in issues.items() if not found}
    assert issues == {name: [] if name in silent else [status] for name, status in wanted.items()}
    assert {wanted[str(name)] for name in silent} <= {"passed", "fixed", "flaky"}

    tests = [t for t in json.loads(render_ctrf(report))["results"]["tests"] if t["name"] in cases]
    assert {test["name"]: test["rawStatus"] for test in tests} == wanted
    assert {test["name"] for test in tests if test["flaky"]} == flaky

    page = render_html(report)
    shown = dict(re.findall(r'data-id="(\w+)" data-rank="\d+" data-status="(\w+)"', page))
    assert shown == wanted

    broken = {name for name, case in cases.items() if case["status"] in BROKEN or case["breaks"]}
    words = {
        name: status.replace("_", " ") + (", flaky" if name in flaky and status != "flaky" else "")
        for name, status in wanted.items()
    }
    text = render_terminal(report, Screen(width=200), verbose=True)
    found = {
        name: label for label, name in re.findall(r"^  (\S.*?) {2,}(\w1)  ", text, re.MULTILINE)
    }
    assert {name: found.get(name) for name in broken} == {name: words[name] for name in broken}

    markdown = render_markdown(report)
    items = dict(re.findall(r"^- `(\w1)` (.+?), (?:none|\d)", markdown, re.MULTILINE))
    assert items == {name: words[name] for name in broken}

    github = dict(re.findall(r"title=(\w1) (.+?) \(", render_github(report)))
    assert {name: label.replace("%2C", ",") for name, label in github.items()} == {
        name: words[name] for name in broken
    }


@settings(max_examples=40, deadline=None)
@given(runs(st.integers(1, 4)), runs(st.integers(1, 3)), runs(st.integers(1, 3)))
def test_a_run_a_diff_and_a_matrix_give_each_case_the_same_status(
    baseline: Run, run: Run, third: Run
) -> None:
    cases = json.loads(render_json(judge(run, baseline)))["cases"]
    wanted = {case["id"]: case["status"] for case in cases}
    diff = Diff(comparison=compare_runs(baseline, run), base=baseline, candidate=run)
    changes = json.loads(diff_json(diff))["comparison"]["cases"]
    assert {change["case_id"]: change["status"] for change in changes} == wanted
    assert {change["case_id"] for change in changes if change["flaky"]} == {
        case["id"] for case in cases if case["flaky"]
    }
    matrix = build_matrix((baseline, run, third), ("v1", "v2", "v3"))
    for case in matrix.cases:
        assert case.statuses[0] == wanted[case.case_id]
    text, markdown = diff_text(diff, Screen(width=200)), diff_markdown(diff)
    for case_id, status in wanted.items():
        word = status.replace("_", " ")
        for found in (
            re.findall(rf"^  (\S.*?) {{2,}}{case_id}  ", text, re.MULTILINE),
            re.findall(rf"^- `{case_id}` (.+?), (?:none|\d)", markdown, re.MULTILINE),
        ):
            assert [label.split(",")[0] for label in found] in ([], [word])
