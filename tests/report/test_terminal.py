"""The screen of a run: the verdict first and last, in the height there is, with no id cut."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.commands.gate_result import apply_gate_review
from evalkit.core.eval_set import Case, Rule
from evalkit.core.gate_result import Check, GateChange, GateReview
from evalkit.core.safe_text import cell_width
from evalkit.gate.decide import decide_gate
from evalkit.report.json import render_json
from evalkit.report.junit import render_junit
from evalkit.report.markdown import render_markdown
from evalkit.report.model import Report
from evalkit.report.screen import Screen
from evalkit.report.terminal import render_terminal, render_verdict
from evalkit.report.threshold_lines import draw_interval
from evalkit.report.verdict import brief_reason
from tests.support.gate_outcomes import list_situations
from tests.support.report_samples import (
    baseline_run,
    candidate_run,
    failing_report,
    make_trial,
)

SIZES = ((80, 24), (120, 40), (60, 24), (100, 30))
SITUATIONS = list_situations()
LOOSENED = GateChange(
    kind="threshold", sentence="it removes max_drop of exact_match", loosened=True
)


def run_of(ids: list[str], rule: Rule, *, passed: bool = False) -> Report:
    """A run of these cases without a baseline, all of which fail unless told otherwise."""
    run = candidate_run()
    cases = tuple(Case(id=case_id, input="?", expected="yes") for case_id in ids)
    trials = tuple(make_trial(case.id, 0, passed, "no") for case in cases)
    run = replace(run, header=replace(run.header, cases=cases), trials=trials)
    result = decide_gate([rule], run, None, max_errors=0, on_inconclusive="pass")
    return Report(run=run, gate_result=result)


def needing_approval() -> Report:
    report = failing_report()
    review = GateReview(base="main", commit="41d0e77", changes=(LOOSENED,) * 3)
    return replace(report, gate_result=apply_gate_review(report.gate_result, review))


def unfinished() -> Report:
    run = candidate_run()
    run = replace(run, trials=run.trials[:3], finished=False)
    result = decide_gate(
        [Rule(metric="exact_match", max_drop=0.02)],
        run,
        baseline_run(),
        max_errors=1,
        on_inconclusive="pass",
    )
    return Report(run=run, gate_result=result, baseline=baseline_run())


REPORTS: dict[str, tuple[Report, str, int]] = {
    "pass": (SITUATIONS["unchanged, 3 trials"].report, "PASS", 0),
    "fail": (failing_report(), "FAIL", 1),
    "fail, many cases": (
        run_of([f"case-{number:03}" for number in range(300)], Rule(must_pass=())),
        "FAIL",
        1,
    ),
    "inconclusive": (SITUATIONS["unchanged, 1 trial"].report, "INCONCLUSIVE", 0),
    "undecided": (unfinished(), "UNDECIDED", 3),
    "needs approval": (needing_approval(), "NEEDS APPROVAL", 4),
}


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", REPORTS)
def test_the_verdict_is_the_first_and_the_last_thing_on_one_screen(
    name: str, size: tuple[int, int]
) -> None:
    report, word, code = REPORTS[name]
    screen = Screen(width=size[0], height=size[1])
    shown = render_terminal(report, screen)
    lines = shown.splitlines()
    # Edits of the gate are named one by one, however narrow the screen is.
    if (name, size) != ("needs approval", (60, 24)):
        assert len(lines) < size[1], "the prompt has a line of its own"
    assert lines[0].startswith(f"{word}  ")
    assert lines[-1].startswith(f"{word}  ")
    assert lines[-1].endswith(f"  exit {code}")
    assert "evalkit show " in shown, "there is always a next step"
    # What the verdict rests on is never left out to save space.
    words = " ".join(shown.split())
    for note in (
        *report.gate_result.notes,
        *map(str, report.gate_result.gate.changes if report.gate_result.gate else ()),
    ):
        assert (note in words) == (note not in report.gate_result.asides)


def test_accepting_a_regression_is_not_the_last_advice() -> None:
    shown = render_terminal(failing_report(), Screen(height=24)).splitlines()
    labels = ("look closer", "all changes", "accept as baseline", "everything")
    advice = [label for line in shown for label in labels if line.startswith(f"  {label}")]
    assert advice == ["look closer", "all changes", "accept as baseline", "everything"]


def test_warnings_from_before_the_run_are_in_the_verdict() -> None:
    text = "warning: the baseline is 400 days old"
    report = replace(failing_report(), warnings=(text,))
    assert f"  - {text}\n" in render_verdict(report, Screen())
    assert f"  - {text}\n" in render_terminal(report, Screen(), verbose=True)


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_brief_reason_says_nothing_that_the_sentence_does_not(name: str) -> None:
    """Numbers of the brief reason are those of the thresholds; what has no numbers stays whole."""
    report = SITUATIONS[name].report
    reason = brief_reason(report.run.header, report.gate_result)
    known = " ".join((report.gate_result.reason, *(c.sentence for c in report.gate_result.checks)))
    limits = " ".join(
        f"{100 * limit:.10g} {limit:.10g}"
        for check in report.gate_result.checks
        for limit in (check.rule.min, check.rule.max, check.rule.max_drop, check.rule.max_rise)
        if limit is not None
    )
    for number in re.findall(r"\d[\d,]*(?:\.\d+)?", reason):
        assert number in f"{known} {limits} a million", (number, reason)
    assert reason.endswith((".", "?", "run"))
    assert "  " not in reason


# Two colons, which could start a command of a CI system, are written apart.
ids_of_cases = st.text("abcXYZ0189-_.:/[]", min_size=1, max_size=74).filter(lambda i: "::" not in i)


@given(
    st.lists(ids_of_cases, min_size=1, max_size=12, unique=True),
    st.sampled_from([80, 100, 120]),
    st.booleans(),
)
def test_no_case_id_is_cut(ids: list[str], width: int, verbose: bool) -> None:
    report = run_of(ids, Rule(must_pass=("none",)))
    shown = render_terminal(report, Screen(width=width), verbose=verbose)
    rows = shown[shown.index("Cases: ") :]
    found = [case_id for case_id in ids if f" {case_id}\n" in rows or f" {case_id} " in rows]
    most = len(ids) if verbose else 1
    assert len(found) >= most


@given(st.floats(0, 1), st.floats(-1, 1), st.floats(0, 1), st.booleans())
def test_an_interval_is_drawn_in_its_cells(
    value: float, change: float, width: float, unicode: bool
) -> None:
    screen = Screen(unicode=unicode)
    drop = Check(
        rule=Rule(metric="m", max_drop=0.02),
        outcome="fail",
        sentence="",
        baseline=value,
        candidate=min(max(value + change, 0.0), 1.0),
        difference=change,
        low=change - width,
        high=change + width,
    )
    for size in (22, 34):
        drawn = draw_interval(drop, "", size, screen)
        assert cell_width(drawn) == size
        assert ("●" if unicode else "o") in drawn
        assert drawn.isascii() != unicode
        assert draw_interval(drop, "s", size, screen) == "", "a measurement has no such axis"


def test_a_wide_screen_draws_intervals_and_a_narrow_one_cuts_no_number() -> None:
    report = SITUATIONS["two thresholds share alpha"].report
    wide = render_terminal(report, Screen(width=120))
    assert "● this run  │ baseline  ┊ limit  ─ interval" in wide
    assert "o this run  | baseline  : limit  - interval" in render_terminal(
        report, Screen(width=120, unicode=False)
    )
    for width in (60, 80, 120):
        table = render_terminal(report, Screen(width=width)).split("\n\n")[1:3]
        assert "…" not in "".join(table)


def test_a_shard_is_complete_and_passes_nothing() -> None:
    report = run_of(["one", "two"], Rule(max_regressed=3), passed=True)
    header = replace(report.run.header, shard="1/2", cases_in_set=4, selection="--shard 1/2")
    result = decide_gate([], report.run, None, max_errors=0, on_inconclusive="pass")
    report = Report(run=replace(report.run, header=header), gate_result=result)
    for verbose in (False, True):
        lines = render_terminal(report, Screen(), verbose=verbose).splitlines()
        assert lines[0].startswith("COMPLETE  support: shard 1/2 is complete")
        assert lines[-1] == "COMPLETE  support  shard 1/2  2 of 4 cases x 1 trial  $0.00600  exit 0"
        assert not any(line.startswith("PASS") for line in lines)
    assert render_markdown(report).startswith("## COMPLETE: `support`\n\nshard 1/2 is complete")
    (skipped,) = ET.fromstring(render_junit(report)).findall("*/testcase[@name='verdict']/skipped")
    assert skipped.attrib["message"].startswith("COMPLETE shard 1/2")
    document = json.loads(render_json(report))
    assert (document["outcome"], document["exit_code"]) == ("pass", 0)
