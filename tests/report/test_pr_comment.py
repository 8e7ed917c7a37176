"""The comment of a pull request: what it says, in what room, and that data cannot act in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from evalkit.core.gate_result import GateChange, GateReview
from evalkit.report.markdown import COMMENT_LIMIT
from evalkit.report.model import Report
from evalkit.report.pr_comment import CommentPlace, comment_marker, render_comment
from evalkit.report.run_facts import age_in_days
from tests.conftest import Project
from tests.report.test_safety import (
    HARMLESS,
    NAUGHTY,
    OUR_HTML,
    OUR_INLINES,
    before_each,
    block_structure,
    enormous,
    inline_tokens,
    markdown,
    poison,
)
from tests.support.report_samples import failing_report

URL = "https://github.com/o/r/actions/runs/17"


def reviewed(report: Report) -> Report:
    """The report of a change that also edits its own gate."""
    changes = (
        GateChange(kind="threshold", sentence="facts: min 0.9 -> 0.5", loosened=True),
        GateChange(kind="case", sentence="1 case added", loosened=False),
    )
    review = GateReview(base="origin/main", commit="41d0e77", changes=changes)
    return replace(report, gate_result=replace(report.gate_result, gate=review))


def test_the_first_screen_says_what_happened_and_what_to_do() -> None:
    text = render_comment(reviewed(failing_report()), CommentPlace(details=URL)).text
    screen = text.split("<details>", 1)[0]
    assert len(screen.splitlines()) < 30
    order = [
        "<!-- evalkit:",
        "## FAIL: `support`, `exact_match` 70.8% -> 42.9%",
        "\nDown 27.9 pt, 2 pt allowed.",
        "LOOSENS: facts: min 0.9",
        "| `refund-window` | `3/3 -> 0/1` |",
        "| FAIL | `exact_match` | 70.8% | 42.9% | -27.9 pt (-45.1 to -10.8) | max drop 2 pt |",
        "Flaky: umlaut",
        "**Next:**",
        "before:\n\n```text\n30 days",
        "now:\n\n```text\nI do not know.",
        "cost $0.0210",
        "3 trials per case, 21 days old",
        URL,
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert places[4] < len(screen)


def test_without_html_nothing_is_folded_and_the_marker_cannot_be_seen() -> None:
    report = reviewed(failing_report())
    made = render_comment(report, CommentPlace(details=URL, max_bytes=32_768, has_html=False))
    first, second = made.text.splitlines()[:2]
    assert (first, second) == (made.marker, "")
    tokens = markdown.parse(made.text)
    assert tokens[0].tag == "h2"
    assert not [each for each in tokens if each.type == "html_block"]
    assert f"({comment_marker('evalsets/support.yaml', 'support')[5:-4]})" in first
    assert "| FAIL | `exact_match` | 70.8% | 42.9%" in made.text
    small = render_comment(report, CommentPlace(max_bytes=900, has_html=False)).text
    assert len(small.encode()) <= 900
    assert "## FAIL" in small


def test_an_address_that_is_none_is_left_out() -> None:
    for details in ("", "javascript:alert(1)", "https://a.example/<b>", "https://a.example/ x"):
        assert (
            "Run and reports"
            not in render_comment(failing_report(), CommentPlace(details=details)).text
        )


def test_sets_are_told_apart_by_path_and_name_and_a_set_is_found_again() -> None:
    report = failing_report()
    assert render_comment(report).marker == render_comment(reviewed(report)).marker
    assert (
        len(
            {
                comment_marker("a.yaml", "x"),
                comment_marker("b.yaml", "x"),
                comment_marker("a.yaml", "y"),
            }
        )
        == 3
    )
    assert re.fullmatch(r"<!-- evalkit:[0-9a-f]{16} -->", comment_marker("--> <script>", "\ud800"))


def test_nothing_is_news_only_where_all_is_as_it_was() -> None:
    report = failing_report()
    passing = [case for case in report.run.header.cases if case.id in ("two-turns", "injection")]
    quiet = replace(
        report,
        run=replace(report.run, header=replace(report.run.header, cases=tuple(passing))),
        gate_result=replace(report.gate_result, outcome="pass", checks=()),
    )
    assert not render_comment(quiet).has_changes
    assert render_comment(reviewed(quiet)).has_changes
    assert render_comment(replace(report, gate_result=quiet.gate_result)).has_changes
    assert render_comment(replace(quiet, gate_result=report.gate_result)).has_changes


@pytest.mark.parametrize("naughty", NAUGHTY.values(), ids=NAUGHTY)
def test_data_keeps_to_its_place(naughty: str) -> None:
    benign = render_comment(poison(reviewed(failing_report()), before_each(HARMLESS))).text
    source = render_comment(poison(reviewed(failing_report()), before_each(naughty))).text
    assert block_structure(source) == block_structure(benign)
    assert {token.type for token in inline_tokens(source)} <= OUR_INLINES
    html = "".join(t.content for t in markdown.parse(source) if t.type == "html_block")
    tags = {tag for tag in re.findall(r"<[^>]*>", html) if not tag.startswith("<!-- evalkit")}
    assert tags <= OUR_HTML
    assert html.count("<!--") == 1


@pytest.mark.parametrize(
    "word", ["@everyone", "#1", "GH-2", "www.evil.example", "https://evil.example"]
)
def test_nobody_is_mentioned_and_nothing_is_linked(word: str) -> None:
    source = render_comment(poison(reviewed(failing_report()), before_each(f"{word} "))).text
    plain = [token.content for token in inline_tokens(source) if token.type == "text"]
    assert [text for text in plain if word in text] == []


def test_it_is_never_longer_than_github_takes() -> None:
    report = enormous()
    many = report.run.header.cases * 300
    longer = replace(report, run=replace(report.run, header=replace(report.run.header, cases=many)))
    for each in (report, longer):
        text = render_comment(each, CommentPlace(details=URL)).text
        assert len(text.encode()) <= COMMENT_LIMIT
        assert "## FAIL" in text


@pytest.mark.parametrize(
    ("then", "now", "days"),
    [
        ("2026-11-01T12:00:00Z", "2026-11-22T11:59:59+00:00", 20),
        ("2026-11-22T12:00:00Z", "2026-11-01T12:00:00Z", 0),
        ("yesterday", "2026-11-01T12:00:00Z", None),
        ("2026-11-01", "2026-11-01T12:00:00Z", None),
    ],
)
def test_the_age_of_a_baseline(then: str, now: str, days: int | None) -> None:
    assert age_in_days(then, now) == days


def test_the_command_shows_a_stored_run_as_its_comment(project: Project) -> None:
    assert project.evalkit("baseline", "echo.yaml", "--trials", "3").code == 0
    project.write(
        "agent.py", "def answer(text):\n    return text.upper() if text != 'two' else '?'\n"
    )
    assert project.evalkit("run", "echo.yaml", "--trials", "1").code == 1
    shown = project.evalkit("comment", "latest")
    assert shown.code == 0
    assert "| `two` | `3/3 -> 0/1` |" in shown.out
    assert "run it locally: `evalkit run echo.yaml --case two`" in shown.out
    assert "record the baseline after the merge: `evalkit baseline echo.yaml`" in shown.out
    assert project.evalkit("comment", "latest", "--status").code == 2
    nowhere = project.evalkit("comment", "latest", "--post")
    assert nowhere.code == 2
    assert "GITHUB_REPOSITORY" in nowhere.err


def test_it_tells_what_a_change_edits_in_its_own_gate(
    project: Project, git: Callable[..., str]
) -> None:
    git("init", "-q", "-b", "main")
    gated = (project.folder / "echo.yaml").read_text() + "gate: [{must_pass: all}]\n"
    project.write("echo.yaml", gated)
    git("add", ".")
    git("commit", "-qm", "one")
    git("checkout", "-qb", "topic")
    project.write("echo.yaml", gated.replace("must_pass: all", "metric: exact_match, min: 0.1"))
    git("commit", "-qam", "two")
    assert project.evalkit("run", "echo.yaml", "--base", "main").code == 4
    shown = project.evalkit("comment", "latest", "--base", "main")
    assert shown.code == 0, shown.err
    assert "- LOOSENS: " in shown.out
    accept = re.search(r"edits of the gate are meant: `evalkit (.*)`", shown.out)
    assert accept
    assert project.evalkit(*accept[1].split()).code == 0
    accepted = project.evalkit("comment", "latest", "--base", "main", "--accept-gate-changes")
    assert "- accepted: " in accepted.out
