"""`evalkit report`: a stored run's reports written again, with the steps of its trials, at no cost."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from evalkit.core.spans import Span
from evalkit.report.html.report import render_html
from evalkit.report.html.waterfall import render_waterfall
from tests.conftest import ECHO_SET, Project
from tests.report.test_html import large, tree_of
from tests.report.test_safety import NAUGHTY
from tests.support.report_samples import failing_report

TRACED_AGENT = """
    import evalkit

    def answer(text):
        with evalkit.span("tool", "find_order", arguments={"about": text}) as step:
            step.set(result={"status": "late"})
        open("asked", "a").write("x")
        return "no" if text == "two" else text.upper()
"""
GATE = "gate: [{metric: exact_match, min: 1.0, test: point}]\n    cases:"


def make_spans(count: int, text: str = "") -> tuple[Span, ...]:
    return tuple(
        Span(
            id=f"s{n}",
            name=f"step {n}{text}",
            kind="tool",
            tool=f"search_orders{text}",
            parent_id="s0" if n else "",
            start_s=n * 0.1,
            duration_s=0.1,
            arguments={"query": "refund for order 7", "n": text},
            result={"hits": [{"id": n, "text": "words " * 60}]},
            error=text,
        )
        for n in range(count)
    )


def test_a_stored_run_is_rendered_again_with_its_steps_whatever_it_came_to(
    project: Project,
) -> None:
    project.write("agent.py", TRACED_AGENT)
    project.write("echo.yaml", ECHO_SET.replace("cases:", GATE))
    ran = project.evalkit("run", "echo.yaml", "--html", "run.html")
    assert ran.code == 1, ran.err
    run_id = project.runs()[-1].name
    asked = (project.folder / "asked").read_text()

    done = project.evalkit("report", "latest")
    assert done.code == 0, done.err
    assert done.out == f"evalkit-report.html: FAIL, run {run_id}\n"
    page = (project.folder / "evalkit-report.html").read_text()
    names = Counter(re.findall(r"<b class=\"depth0\">(.*?)</b>", page))
    assert names["find_order"] == 3
    assert page.count("&#34;status&#34;: &#34;late&#34;") == 3
    ran_page = (project.folder / "run.html").read_text()
    assert tree_of(ran_page).shape == tree_of(page).shape, "run --html shows what report shows"

    files = ("--junit", "r.xml", "--csv", "r.csv", "--ctrf", "r.json", "--markdown", "r.md")
    (project.folder / "evalkit-report.html").unlink()
    done = project.evalkit("report", run_id[:-2], "--baseline", run_id, *files)
    assert done.code == 0, done.err
    assert [line.partition(":")[0] for line in done.out.splitlines()] == [
        "r.xml",
        "r.md",
        "r.csv",
        "r.json",
    ]
    assert not (project.folder / "evalkit-report.html").exists()
    tests = ET.parse(project.folder / "r.xml").getroot().iter("testcase")
    assert "exact_match" in {
        test.attrib["name"] for test in tests if test.find("failure") is not None
    }
    summary = json.loads((project.folder / "r.json").read_text())["results"]["summary"]
    assert summary["failed"] > 0
    assert "FAIL" in (project.folder / "r.md").read_text()
    assert (project.folder / "asked").read_text() == asked, "nobody was asked again"


def test_what_cannot_be_rendered_says_why_and_writes_nothing(project: Project) -> None:
    done = project.evalkit("report", "latest")
    assert done.code == 2
    assert "no stored runs" in done.err
    project.evalkit("run", "echo.yaml")
    project.write("page/index", "x")
    for arguments, said in (
        (("--html", "page"), "page is a folder"),
        (("--baseline", "nobody"), "no run 'nobody'"),
    ):
        done = project.evalkit("report", "latest", *arguments)
        assert (done.code, said in done.err) == (2, True), done.err
    assert not (project.folder / "evalkit-report.html").exists()


@pytest.mark.parametrize(
    "text", ["", '<&\u202e">' * 40, NAUGHTY["wide"]], ids=["plain", "hostile", "wide"]
)
def test_two_hundred_cases_of_ten_steps_stay_under_a_megabyte(text: str) -> None:
    report = large(failing_report())
    spans = {(trial.case_id, trial.number): make_spans(10, text) for trial in report.run.trials}
    page = render_html(replace(report, spans=spans))
    assert len(page.encode()) < 1_000_000
    shown = page.count('class="step"')
    left_out = sum(int(n) for n in re.findall(r"(\d+) more steps", page))
    assert shown + left_out == 2000
    assert page.count('class="waterfall"') == 200
    if not text:
        assert left_out == 0


def test_steps_change_no_element_of_the_page_whatever_they_say() -> None:
    def shape(text: str) -> list[tuple[str, ...]]:
        report = failing_report()
        spans = {(trial.case_id, trial.number): make_spans(3, text) for trial in report.run.trials}
        return tree_of(render_html(replace(report, spans=spans))).shape

    benign = shape("x")
    assert sum(path[-2:] == ("pre",) or path[-1] == "pre" for path in benign) > 0
    for naughty in NAUGHTY.values():
        assert shape(naughty) == benign


def test_where_there_is_little_room_texts_give_way_before_steps_do() -> None:
    spans = make_spans(10)
    sizes = []
    for room in (100_000, 4000, 2500, 800, 0):
        drawn = render_waterfall(spans, 400, room)
        assert drawn is not None
        steps, texts = drawn.count('class="step"'), drawn.count("arguments: ")
        sizes.append((steps, texts))
        assert len(drawn.encode()) <= room or steps == 1
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == (10, 10)
    assert (10, 0) in sizes
    assert sizes[-1] == (1, 0)
    assert render_waterfall((), 400, 100_000) is None
