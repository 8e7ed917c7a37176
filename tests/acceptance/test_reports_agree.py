"""One run, seven reports: terminal, JSON, JUnit, Markdown, HTML, CSV and CTRF say the same."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from html import unescape
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.conftest import ECHO_SET, Project

REPORTS = ("junit", "markdown", "html", "csv", "ctrf")
GATE = "gate: [{max_regressed: 0}, {metric: exact_match, min: 0.5, test: point}]\n    cases:"


def plain(page: str) -> str:
    """An HTML page's text."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


@pytest.fixture
def judged(project: Project) -> tuple[Any, dict[str, str], str]:
    """A run with one case that regressed: its JSON, its files, and what the terminal showed."""
    project.write("echo.yaml", ECHO_SET.replace("cases:", GATE))
    project.evalkit("baseline", "echo.yaml", "--trials", "3")
    project.write(
        "agent.py",
        "def answer(text):\n    return 'no' if text == 'two' else text.upper()\n",
    )
    files = [part for name in REPORTS for part in (f"--{name}", f"out.{name}")]
    done = project.evalkit("run", "echo.yaml", "--format", "json", *files)
    assert done.code == 1, done.err
    written = {name: (project.folder / f"out.{name}").read_text() for name in REPORTS}
    return done.json, written, project.evalkit("gate", "latest").out


def test_all_reports_agree(judged: tuple[Any, dict[str, str], str]) -> None:
    report, written, terminal = judged
    assert report["outcome"] == "fail"
    cases = {case["id"]: case["status"] for case in report["cases"]}
    assert cases == {"one": "passed", "two": "regressed", "three": "passed"}
    rate = re.search(r"66\.7%", terminal)
    assert rate
    assert terminal.startswith("FAIL  echo")

    page = plain(written["html"])
    reason = report["reason"].removeprefix("FAIL ")
    assert page.count("FAIL") >= 2
    assert reason.split(".")[0] in page
    assert "66.7%" in page
    assert "66.7%" in written["markdown"]
    for check in report["checks"]:
        assert check["name"] in page

    rows = list(csv.DictReader(io.StringIO(written["csv"])))
    assert {row["case"]: row["status"] for row in rows} == cases
    assert sum(float(row["exact_match"]) for row in rows) / 3 == pytest.approx(2 / 3)

    suite = ET.fromstring(written["junit"])
    tests = {test.get("name"): test for test in suite.iter("testcase")}
    assert {name for name in cases if tests[name].find("failure") is not None} == {"two"}
    results = json.loads(written["ctrf"])["results"]
    failed = {test["name"] for test in results["tests"] if test["status"] == "failed"}
    assert failed == {name for name, test in tests.items() if test.find("failure") is not None}
    assert results["summary"]["tests"] == len(tests)
    assert results["extra"]["exit_code"] == report["exit_code"] == 1
    for text in (page, written["markdown"], terminal):
        assert "two" in text
        assert Counter(re.findall(r"3/3 -> 0/1", text))["3/3 -> 0/1"] >= 1


def test_github_marks_the_case_where_it_stands(project: Project) -> None:
    project.write("agent.py", "def answer(text):\n    return text\n")
    done = project.evalkit("run", "echo.yaml", "--format", "github", env={"GITHUB_ACTIONS": "true"})
    assert done.code == 1
    marks = [line for line in done.out.splitlines() if line.startswith("::")]
    line = next(n for n, text in enumerate(ECHO_SET.splitlines()) if "id: two" in text)
    assert any(f"::error file=echo.yaml,line={line}," in mark for mark in marks)
    assert len(marks) <= 10
    assert all("%0A" in mark or mark.count("::") == 2 for mark in marks)


def test_a_report_is_not_written_over_a_folder(project: Project) -> None:
    done = project.evalkit("run", "echo.yaml", "--html", ".")
    assert done.code == 2
    assert "is a folder" in done.err
    assert not project.runs(), "nothing was spent"
