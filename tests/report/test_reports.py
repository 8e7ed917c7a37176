"""What people and programs read of one verdict: that it is true, complete, and the same everywhere."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import evalkit
from evalkit.compare.pairs import compare_runs
from evalkit.core.eval_set import Case, Rule
from evalkit.core.gate_result import Check, GateResult, MetricSummary
from evalkit.core.literals import CaseStatus, Outcome
from evalkit.core.run import Run
from evalkit.core.safe_text import cell_width
from evalkit.core.trial import Output, Score, Trial
from evalkit.gate.decide import decide_gate
from evalkit.gate.outcome import OnInconclusive
from evalkit.report.case import case_json, case_text
from evalkit.report.case_status import (
    BROKEN_STATUSES,
    STATUS_TEXTS,
    CaseResult,
    case_results,
    reason_text,
)
from evalkit.report.content import OUTCOME_WORDS, check_cells, limit_cell, value_cell
from evalkit.report.diff import diff_json, diff_markdown
from evalkit.report.diff_text import diff_text
from evalkit.report.json import render_json
from evalkit.report.junit import render_junit
from evalkit.report.markdown import COMMENT_LIMIT, render_markdown
from evalkit.report.matrix import matrix_json, matrix_markdown
from evalkit.report.matrix_text import matrix_text
from evalkit.report.model import Diff, Hint, Report
from evalkit.report.screen import Cell, Screen, align_columns
from evalkit.report.terminal import render_terminal
from tests.support.paths import TESTS
from tests.support.report_samples import (
    CASES,
    baseline_run,
    candidate_run,
    failing_report,
    make_tally,
    make_trial,
    shown_case,
    shown_diff,
    shown_matrix,
)

GOLDEN = TESTS / "golden"
UPDATE = os.environ.get("EVALKIT_UPDATE_GOLDEN") == "1"
SCHEMA = json.loads((Path(evalkit.__file__).parent / "schemas" / "report.schema.json").read_text())

RENDERED: dict[str, Callable[[], str]] = {
    "report.txt": lambda: render_terminal(failing_report(), Screen()),
    "report-verbose.txt": lambda: render_terminal(failing_report(), Screen(), verbose=True),
    "report-120.txt": lambda: render_terminal(failing_report(), Screen(width=120)),
    "report-colour.txt": lambda: render_terminal(failing_report(), Screen(color=True)),
    "report-40-ascii.txt": lambda: render_terminal(
        failing_report(), Screen(width=40, unicode=False)
    ),
    "report.md": lambda: render_markdown(failing_report()),
    "report.json": lambda: render_json(failing_report()),
    "report.xml": lambda: render_junit(failing_report()),
    "diff.txt": lambda: diff_text(shown_diff(), Screen()),
    "diff.md": lambda: diff_markdown(shown_diff()),
    "diff.json": lambda: diff_json(shown_diff()),
    "matrix.txt": lambda: matrix_text(shown_matrix(), Screen()),
    "matrix.md": lambda: matrix_markdown(shown_matrix()),
    "case-failed.txt": lambda: case_text(shown_case("refund-window"), Screen()),
    "case-error.txt": lambda: case_text(shown_case("shipping-intl"), Screen()),
    "case-conversation.txt": lambda: case_text(shown_case("two-turns"), Screen()),
    "case.json": lambda: case_json(shown_case("two-turns")),
}


@pytest.mark.parametrize("name", RENDERED)
def test_a_report_looks_as_it_did(name: str) -> None:
    """EVALKIT_UPDATE_GOLDEN=1 writes the files anew, for a change that is wanted and looked at."""
    shown = RENDERED[name]()
    if UPDATE:
        (GOLDEN / name).write_text(shown)
    assert shown == (GOLDEN / name).read_text()


# Agreement: whatever the verdict, every report tells the same.

GATES: dict[str, tuple[tuple[Rule, ...], int, OnInconclusive]] = {
    "passes": ((Rule(metric="exact_match", min=0.4, test="point"),), 1, "pass"),
    "fails": ((Rule(max_regressed=0), Rule(must_pass=("policy",))), 1, "pass"),
    "fails on a drop": ((Rule(metric="exact_match", max_drop=0.02),), 1, "pass"),
    "is undecided": ((Rule(max_regressed=3),), 0, "pass"),
    "is inconclusive": ((Rule(metric="latency_s", stat="p95", max_rise=0.2),), 1, "pass"),
    "is inconclusive, which fails": (
        (Rule(metric="latency_s", stat="p95", max_rise=0.2),),
        1,
        "fail",
    ),
    "has no threshold": ((), 1, "pass"),
    "names no metric": ((Rule(metric="exactmatch", min=0.5),), 1, "pass"),
}


def judged(gate: str, *, baseline: Run | None = None) -> Report:
    rules, max_errors, on_inconclusive = GATES[gate]
    run = candidate_run()
    verdict = decide_gate(
        rules, run, baseline, max_errors=max_errors, on_inconclusive=on_inconclusive
    )
    return Report(run=run, gate_result=verdict, baseline=baseline)


def test_the_gates_of_the_agreement_test_end_in_every_way() -> None:
    verdicts = [judged(gate, baseline=baseline_run()).gate_result for gate in GATES]
    assert {(verdict.outcome, verdict.exit_code) for verdict in verdicts} == {
        ("pass", 0),
        ("fail", 1),
        ("undecided", 3),
        ("inconclusive", 0),
        ("inconclusive", 3),
    }


def counted_in(line: str) -> dict[str, int]:
    """The counts of `2 regressed, 1 still failing`."""
    pairs = re.findall(r"(\d+) ([a-z ]+)", line)
    return {words.strip().replace(" ", "_"): int(count) for count, words in pairs}


def nonzero(counts: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}


@pytest.mark.parametrize("compared", [True, False])
@pytest.mark.parametrize("gate", GATES)
def test_all_reports_tell_the_same(gate: str, compared: bool) -> None:
    report = judged(gate, baseline=baseline_run() if compared else None)
    document = json.loads(render_json(report))
    terminal = render_terminal(report, Screen(width=200), verbose=True)
    markdown = render_markdown(report)
    junit = ET.fromstring(render_junit(report))

    word = OUTCOME_WORDS[document["outcome"]]
    assert terminal.startswith(f"{word}  support: ")
    assert markdown.startswith(f"## {word}: `support`\n")
    assert f"exit code {document['exit_code']}\n" in terminal
    assert f"exit code {document['exit_code']}\n" in markdown

    (terminal_cases,) = re.findall(r"^Cases: (.*)$", terminal, re.MULTILINE)
    (markdown_cases,) = re.findall(r"^\*\*Cases:\*\* (.*)$", markdown, re.MULTILINE)
    assert counted_in(terminal_cases) == nonzero(document["statuses"])
    assert markdown_cases == terminal_cases

    checks = [(check["name"], OUTCOME_WORDS[check["outcome"]]) for check in document["checks"]]
    for name, outcome in checks:
        assert re.search(rf"^  {outcome} +{re.escape(name)}", terminal, re.MULTILINE)
        assert f"| {outcome} | `{name}` |" in markdown
    assert terminal.count("\n  PASS") == [outcome for _, outcome in checks].count("PASS")

    tests = junit.findall("testsuite/testcase")
    assert len(tests) == len(document["cases"]) + len(checks) + 1
    red = [
        test for test in tests if test.find("failure") is not None or test.find("error") is not None
    ]
    assert bool(red) == (document["exit_code"] != 0)


@pytest.mark.parametrize("gate", GATES)
def test_every_trial_is_in_one_state_and_the_states_add_up(gate: str) -> None:
    document = json.loads(render_json(judged(gate, baseline=baseline_run())))
    states = Counter(trial["state"] for case in document["cases"] for trial in case["trials"])
    assert states == nonzero(document["tally"]["counts"])
    assert sum(states.values()) == document["tally"]["selected"]
    statuses = Counter(case["status"] for case in document["cases"])
    assert statuses == nonzero(document["statuses"])


# The status of a case.


def result_of(
    trials: list[bool | None],
    before: tuple[int, int] | None,
    *,
    due: int = 0,
    blamed_by: Rule | None = None,
) -> CaseResult:
    """Of a case with these trials: passed, failed, or None for no output."""
    base = candidate_run()
    made = [make_trial("refund-window", n, passed, "x") for n, passed in enumerate(trials)]
    broken = [
        replace(trial, output=replace(trial.output, error=error))
        for trial in made
        for error in [base.trials[2].output.error if not trial.scores else None]
    ]
    header = replace(base.header, cases=CASES[:1], trials=due or len(trials))
    run = replace(base, header=header, trials=tuple(broken))
    comparison = None
    if before is not None:
        passed, count = before
        baseline = replace(
            base,
            header=replace(header, trials=count),
            trials=tuple(make_trial("refund-window", n, n < passed, "x") for n in range(count)),
        )
        comparison = compare_runs(baseline, run)
    hit = failing_report().gate_result.checks[2].hits[0]
    checks = (
        (Check(rule=blamed_by, outcome="fail", sentence="FAIL", hits=(hit,)),) if blamed_by else ()
    )
    verdict = GateResult(
        outcome="pass",
        exit_code=0,
        reason="",
        tally=make_tally(scored=1),
        checks=checks,
        comparison=comparison,
    )
    (result,) = case_results(run, verdict)
    return result


EVERY = Rule(must_pass=())


@pytest.mark.parametrize(
    ("trials", "before", "due", "status"),
    [
        ([True], None, 0, "passed"),
        ([False], None, 0, "failing"),
        ([True, False], None, 0, "failing"),
        ([True, True, False], None, 0, "flaky"),
        ([False], (3, 3), 0, "regressed"),
        ([False, None], (3, 3), 0, "regressed"),
        ([True, None], (3, 3), 0, "error"),
        ([None], (3, 3), 0, "error"),
        ([True], (3, 3), 2, "not_run"),
        ([True, None], (3, 3), 3, "error"),
        ([False], (2, 3), 0, "flaky"),
        ([False], (0, 3), 0, "still_failing"),
        ([True], (0, 3), 0, "fixed"),
        ([True], (2, 3), 0, "flaky"),
        ([True], (3, 3), 0, "passed"),
    ],
)
def test_a_case_has_one_status_whatever_the_gate_says(
    trials: list[bool | None], before: tuple[int, int] | None, due: int, status: CaseStatus
) -> None:
    found = [result_of(trials, before, due=due, blamed_by=rule) for rule in (None, EVERY)]
    assert [result.status for result in found] == [status, status]
    assert found[1].is_broken, "a case that a failed threshold names needs attention"
    assert found[0].is_broken == (status in BROKEN_STATUSES)


def test_a_case_says_which_failed_thresholds_name_it() -> None:
    result = result_of([True, True, False], None, blamed_by=EVERY)
    assert result.breaks == ("must pass",)
    assert reason_text(result).startswith("breaks 'must pass': ")


def test_a_case_that_nothing_scored_is_neither_passed_nor_broken() -> None:
    run = candidate_run()
    skipped = Trial(
        case_id="refund-window",
        number=0,
        output=Output(text="x"),
        scores=(Score(metric="cost_usd", state="skipped"),),
    )
    run = replace(run, header=replace(run.header, cases=CASES[:1]), trials=(skipped,))
    verdict = replace(failing_report().gate_result, comparison=None, checks=())
    (result,) = case_results(run, verdict)
    assert result.status == "not_scored"


def test_every_status_is_described_and_in_the_schema() -> None:
    properties = SCHEMA["$defs"]["CaseResultDocument"]["properties"]
    assert set(properties["status"]["enum"]) == set(STATUS_TEXTS)
    assert set(get_args(CaseStatus)) == set(STATUS_TEXTS)


# Numbers.


@given(
    st.floats(0, 1),
    st.integers(0, 1000),
    st.sampled_from(["min", "max"]),
)
def test_a_value_never_reads_as_the_limit_it_misses(value: float, permille: int, word: str) -> None:
    limit = permille / 1000
    rule = Rule(metric="m", **{word: limit})  # type: ignore[arg-type]  # min or max
    check = Check(rule=rule, outcome="pass", sentence="", candidate=value)
    _, shown, _ = check_cells(check, "")
    read, bound = float(shown.rstrip("%")), float(limit_cell(rule, "").split()[1].rstrip("%"))
    if abs(value - limit) > 1e-8:
        assert (read < bound) == (value < limit)
        assert read != bound


@given(st.floats(-1, 1), st.integers(0, 100))
def test_a_drop_never_reads_as_the_drop_allowed(difference: float, percent: int) -> None:
    rule = Rule(metric="m", max_drop=percent / 100)
    check = Check(rule=rule, outcome="pass", sentence="", difference=difference)
    _, _, shown = check_cells(check, "")
    if abs(difference + percent / 100) > 1e-8:
        assert (float(shown.split()[0]) < -percent) == (difference < -percent / 100)


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (None, "", "-"),
        (0.714, "", "71.4%"),
        (1.0, "", "100.0%"),
        (0.99999, "", "99.999%"),
        (0.0001, "", "0.01%"),
        (0.0, "", "0.0%"),
        (1.3081, "s", "1.31 s"),
        (0.0123, "s", "0.0123 s"),
        (1234.5, "tokens", "1,234 tokens"),
        (0.0312, "usd", "$0.0312"),
        (12.5, "usd", "$12.50"),
        (3.0, "words", "3.00 words"),
    ],
)
def test_values_are_spelled_by_their_unit(value: float | None, unit: str, shown: str) -> None:
    assert value_cell(value, unit) == shown


@pytest.mark.parametrize(
    ("rule", "unit", "shown"),
    [
        (Rule(metric="m", min=0.9), "", "min 90%"),
        (Rule(metric="m", max=2.5), "s", "max 2.5 s"),
        (Rule(metric="m", max_drop=0.02), "", "max drop 2 pt"),
        (Rule(metric="m", max_rise=0.2), "s", "max rise 20%"),
        (Rule(max_regressed=3), "", "max 3"),
        (Rule(must_pass=("a",)), "", "every trial"),
    ],
)
def test_a_limit_is_shown_as_it_was_written(rule: Rule, unit: str, shown: str) -> None:
    assert limit_cell(rule, unit) == shown


# The terminal.


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("width", [32, 40, 60, 79, 80, 120, 300])
def test_no_line_is_wider_than_the_terminal_but_commands_to_copy(width: int, unicode: bool) -> None:
    screen = Screen(width=width, unicode=unicode)
    shown = [
        render_terminal(failing_report(), screen),
        diff_text(shown_diff(), screen),
        *(case_text(shown_case(case.id), screen) for case in CASES),
    ]
    lines = [line for text in shown for line in text.split("\n")]
    assert [
        line for line in lines if cell_width(line) > width and not line.startswith("    evalkit ")
    ] == []


def test_a_terminal_of_one_column_gets_the_same_verdict() -> None:
    shown = render_terminal(failing_report(), Screen(width=1))
    assert shown.startswith("FAIL  support: ")
    assert shown.endswith("\nFAIL  support  exit 1\n")


def test_an_ascii_terminal_gets_ascii() -> None:
    screen = Screen(unicode=False)
    assert render_terminal(failing_report(), screen).isascii()
    assert case_text(shown_case("umlaut"), screen).isascii()
    assert r"Gr\xfc\xdfe aus K\xf6ln" in case_text(shown_case("umlaut"), screen)


def test_colour_adds_nothing_but_colour() -> None:
    renderers: tuple[Callable[[Screen], str], ...] = (
        lambda screen: render_terminal(failing_report(), screen),
        lambda screen: diff_text(shown_diff(), screen),
        lambda screen: case_text(shown_case("two-turns"), screen),
    )
    for render in renderers:
        coloured, plain = render(Screen(color=True)), render(Screen())
        assert coloured != plain
        assert re.sub(r"\x1b\[[0-9;]+m", "", coloured) == plain
        assert coloured.count("\x1b[0m") * 2 == coloured.count("\x1b[")


def many_failures(count: int) -> Report:
    cases = tuple(
        Case(id=f"case-{number:03}", input="?", expected="yes", tags=(f"tag-{number % 7}",))
        for number in range(count)
    )
    trials = tuple(make_trial(case.id, 0, False, "no") for case in cases)
    run = candidate_run()
    run = replace(run, header=replace(run.header, cases=cases), trials=trials)
    verdict = decide_gate(
        [Rule(metric="exact_match", min=0.9, test="point")] * 30,
        run,
        None,
        max_errors=0,
        on_inconclusive="pass",
    )
    return Report(run=run, gate_result=verdict)


def test_one_screen_has_the_worst_cases_and_the_command_for_the_rest() -> None:
    report = many_failures(50)
    for height, most in ((24, 5), (40, 10)):
        shown = render_terminal(report, Screen(height=height))
        assert len(re.findall(r"^  case-", shown, re.MULTILINE)) <= most
        assert f"; worst {len(re.findall(r'^  case-', shown, re.MULTILINE))}:\n" in shown
        assert "  everything  evalkit show 20261122-165401-9f1c -v\n" in shown


def test_all_rows_are_shown_to_who_asks_for_them() -> None:
    shown = render_terminal(many_failures(50), Screen(), verbose=True)
    assert len(re.findall(r"^  failing  case-", shown, re.MULTILINE)) == 50
    assert "worst" not in shown
    assert "more: evalkit" not in shown


def test_regressions_come_first_and_the_deepest_fall_before_the_others() -> None:
    shown = render_terminal(failing_report(), Screen())
    rows = re.findall(r"^  (regressed|error|failing) +(\S+)", shown, re.MULTILINE)
    assert rows == [
        ("regressed", "refund-window"),
        ("regressed", "refund-sale"),
        ("error", "shipping-intl"),
    ]


def test_an_error_that_no_row_has_room_for_is_told_whole_once() -> None:
    report = failing_report()
    assert "Error of" not in render_terminal(report, Screen())
    remedy = "no answer within 30 s of any of the servers that were tried; start one of them first."
    trials = [
        replace(trial, output=replace(trial.output, error=replace(error, message=remedy)))
        if (error := trial.output.error)
        else trial
        for trial in report.run.trials
    ]
    text = render_terminal(replace(report, run=replace(report.run, trials=tuple(trials))), Screen())
    assert " ".join(text.split()).count(f"Error of 1 case: timeout: {remedy}") == 1


def test_a_folded_row_names_no_column_that_it_leaves_empty() -> None:
    row = [Cell("refund-window"), Cell("a version with a long name"), Cell("")]
    (first, *rest) = align_columns(
        [row], Screen(width=32), titles=("case", "version", "step"), shrinkable={}
    )
    assert " ".join([first, *rest]).split() == [
        "case",
        "refund-window",
        "version",
        "a",
        "version",
        "with",
        "a",
        "long",
        "name",
    ]


def test_a_first_run_without_a_baseline_is_shown_without_empty_columns() -> None:
    report = judged("passes")
    shown = render_terminal(report, Screen())
    assert "baseline" not in shown
    assert re.search(r"^  PASS +exact_match +42\.9% +min 40%$", shown, re.MULTILINE)


def test_an_unfinished_run_says_so() -> None:
    run = candidate_run()
    run = replace(run, trials=run.trials[:3], finished=False)
    verdict = decide_gate((), run, None, max_errors=0, on_inconclusive="pass")
    shown = render_terminal(Report(run=run, gate_result=verdict), Screen(), verbose=True)
    assert "2 scored, 1 agent error, 5 not run, $0.00600, unfinished; exit code 3" in shown
    assert "0 of 1 not run" not in shown
    assert re.search(r"^  Not run: .*two-turns", shown, re.MULTILINE)
    assert not re.search(r"^  error +two-turns", shown, re.MULTILINE)


def test_a_selected_part_of_a_set_is_not_taken_for_the_whole() -> None:
    run = candidate_run()
    run = replace(run, header=replace(run.header, selection="--tag refunds", cases_in_set=100))
    shown = render_terminal(replace(failing_report(), run=run), Screen(width=120))
    assert "8 cases x 1 trial of a set of 100 cases --tag refunds" in shown


# JSON.


@pytest.mark.parametrize("gate", GATES)
def test_the_report_document_keeps_to_its_schema(gate: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(json.loads(render_json(judged(gate, baseline=baseline_run()))), SCHEMA)


def test_the_other_documents_keep_to_the_schema() -> None:
    jsonschema.validate(json.loads(diff_json(shown_diff())), SCHEMA)
    jsonschema.validate(json.loads(matrix_json(shown_matrix())), SCHEMA)
    for case_id in ("two-turns", "shipping-intl"):
        jsonschema.validate(json.loads(case_json(shown_case(case_id))), SCHEMA)


def objects_of(schema: Any) -> list[dict[str, Any]]:
    """Every part of a schema that describes an object with named fields."""
    found = []
    if isinstance(schema, dict):
        found += [schema] if isinstance(schema.get("properties"), dict) else []
        found += [part for value in schema.values() for part in objects_of(value)]
    elif isinstance(schema, list):
        found += [part for value in schema for part in objects_of(value)]
    return found


def test_the_schema_leaves_no_field_undescribed() -> None:
    for described in objects_of(SCHEMA):
        assert described["additionalProperties"] is False
        assert sorted(described["properties"]) == described["required"]


def test_json_numbers_are_not_rounded() -> None:
    document = json.loads(render_json(failing_report()))
    assert document["checks"][2]["p_value"] == 0.0083
    assert document["metrics"][0]["mean"] == 0.4286


# JUnit.


def junit_of(report: Report) -> ET.Element:
    return ET.fromstring(render_junit(report))


def marks_of(root: ET.Element) -> dict[str, str]:
    return {
        test.attrib["name"]: next((child.tag for child in test), "passed")
        for test in root.iter("testcase")
    }


def test_junit_tells_regressions_errors_and_known_failures_apart() -> None:
    assert marks_of(junit_of(failing_report())) == {
        "refund-window": "failure",
        "refund-sale": "failure",
        "shipping-intl": "error",
        "shipping-cost": "passed",
        "two-turns": "passed",
        "umlaut": "skipped",
        "injection": "passed",
        "warranty": "skipped",
        "verdict": "failure",
        "exact_match [shipping]": "passed",
        "latency_s p95": "skipped",
        "exact_match": "failure",
    }


def test_what_a_passed_gate_allows_is_skipped_with_the_reason() -> None:
    root = junit_of(judged("passes", baseline=baseline_run()))
    marks = marks_of(root)
    assert marks["refund-window"] == "skipped"
    assert marks["shipping-intl"] == "skipped"
    skipped = root.findall("testsuite/testcase[@name='refund-window']/skipped")
    assert skipped[0].attrib["message"].startswith("allowed by the gate; passed in the baseline")


def test_junit_totals_are_what_the_file_holds() -> None:
    root = junit_of(failing_report())
    for level in (root, *root.findall("testsuite")):
        counts = Counter(child.tag for test in level.iter("testcase") for child in test)
        assert level.attrib["tests"] == str(len(list(level.iter("testcase"))))
        assert level.attrib["failures"] == str(counts["failure"])
        assert level.attrib["errors"] == str(counts["error"])
        assert level.attrib["skipped"] == str(counts["skipped"])
        assert re.fullmatch(r"\d+\.\d{3}", level.attrib["time"])


def test_a_junit_failure_stands_alone() -> None:
    (failure,) = junit_of(failing_report()).findall("*/testcase[@name='refund-window']/failure")
    for needed in ("3/3 -> 0/1", "How long may I return shoes?", "30 days", "I do not know."):
        assert needed in (failure.text or "")


def test_a_junit_case_points_into_the_eval_set() -> None:
    (test,) = junit_of(failing_report()).findall("*/testcase[@name='refund-sale']")
    assert test.attrib["file"] == "evalsets/support.yaml"
    assert test.attrib["line"] == "26"
    assert test.attrib["classname"] == "support.refunds"


def test_ids_that_read_the_same_get_names_of_their_own() -> None:
    report = failing_report()
    header = report.run.header
    ids = ("a\x1b", r"a\x1b", r"a\x1b (2)", "b" * 500, "b" * 501)
    cases = tuple(replace(CASES[0], id=case_id) for case_id in ids)
    run = replace(report.run, header=replace(header, cases=cases), trials=())
    suite = junit_of(replace(report, run=run)).find("testsuite")
    assert suite is not None
    assert len({test.attrib["name"] for test in suite}) == len(ids)


def test_ten_thousand_failures_with_long_outputs_fit_into_what_gitlab_takes() -> None:
    report = many_failures(50)
    header, count = report.run.header, 10_000
    cases = tuple(replace(CASES[0], id=f"case-{number}") for number in range(count))
    trials = tuple(make_trial(case.id, 0, False, "x" * 5000) for case in cases)
    run = replace(report.run, header=replace(header, cases=cases), trials=trials)
    shown = render_junit(replace(report, run=run))
    assert shown.count("<failure") > count
    assert len(shown) < 30_000_000


# Markdown.


def test_a_step_summary_fits_one_screen_before_the_folded_details() -> None:
    above, _ = render_markdown(failing_report()).split("<details>", 1)
    assert len(above.splitlines()) <= 45


def test_at_most_five_broken_cases_stand_in_the_open() -> None:
    shown = render_markdown(many_failures(200))
    above, _ = shown.split("<details>", 1)
    assert above.count("- `case-") == 5
    assert "and 195 more: `evalkit show 20261122-165401-9f1c`" in above


@pytest.mark.parametrize("max_bytes", [1, 1000, 3000, COMMENT_LIMIT])
def test_a_comment_keeps_to_its_length_and_leads_with_the_verdict(max_bytes: int) -> None:
    report = many_failures(300)
    longer = tuple(
        replace(trial, output=replace(trial.output, text="ä" * 5000)) for trial in report.run.trials
    )
    shown = render_markdown(
        replace(report, run=replace(report.run, trials=longer)), max_bytes=max_bytes
    )
    assert len(shown.encode()) <= max(max_bytes, 1000)
    assert shown.startswith("## FAIL: `support`\n\nexact_match ")


# One case, two runs.


def test_one_case_shows_every_trial_with_scores_tools_and_replies() -> None:
    shown = case_text(shown_case("two-turns"), Screen(width=100))
    for needed in (
        "What is your order's number?",
        'tool find_order({"order": 7}) -> {"status": "late"} (0.200 s)',
        "tool find_courier() -> error: no such courier",
        "PASS exact_match 100.0%",
        "decoded_with_replacement",
        "Baseline 41d0e77, 3/3 passed",
    ):
        assert needed in shown


def test_a_broken_case_shows_what_the_agent_said_last() -> None:
    shown = case_text(shown_case("shipping-intl"), Screen())
    assert "Trial 1 of 1: agent error, 3 attempts" in shown
    assert "timeout: no answer within 30 s" in shown
    assert "│   waiting for the model" in shown


def test_a_case_without_trials_says_so() -> None:
    shown = shown_case("umlaut")
    assert "No trial was run." in case_text(
        replace(shown, run=replace(shown.run, trials=()), baseline=None), Screen()
    )


def test_a_diff_names_every_changed_case_by_status() -> None:
    shown = diff_text(shown_diff(), Screen())
    rows = re.findall(r"^  (regressed|error|flaky|fixed) +(\S+)", shown, re.MULTILINE)
    assert rows == [
        ("regressed", "refund-window"),
        ("regressed", "refund-sale"),
        ("error", "shipping-intl"),
        ("fixed", "shipping-cost"),
        ("flaky", "umlaut"),
    ]
    assert "1 error, 1 flaky, 1 still failing, 1 fixed, 2 passed" in shown


def with_texts(before: str, now: str) -> Diff:
    diff = shown_diff()

    def answering(run: Run, text: str) -> Run:
        trial = make_trial("refund-sale", 0, True, text)
        return replace(run, trials=(trial,))

    return replace(
        diff,
        base=answering(diff.base, before),
        candidate=answering(diff.candidate, now),
        detailed_case_ids=("refund-sale",),
    )


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ("same", "same", ["  the same text"]),
        ("a\nb\nc", "a\nB\nc", ["  @@ -1,3 +1,3 @@", "   a", "  -b", "  +B", "   c"]),
        ("x = 1\n    y = 2", "x = 1", ["  @@ -1,2 +1 @@", "   x = 1", "  -    y = 2"]),
    ],
)
def test_a_diff_of_outputs_reads_like_a_patch(before: str, now: str, expected: list[str]) -> None:
    shown = diff_text(with_texts(before, now), Screen())
    section = shown.split("Outputs of refund-sale\n")[1].split("\n\n")[0]
    assert section.split("\n") == expected


def test_a_diff_of_long_outputs_is_bounded() -> None:
    before = "\n".join(f"old {number}" for number in range(5000))
    now = "\n".join(f"new {number}" for number in range(5000))
    shown = diff_text(with_texts(before, now), Screen())
    assert len(shown.splitlines()) < 250
    assert "more lines differ" in shown


def test_hints_are_shown_whole_and_side_by_side_when_they_fit() -> None:
    report = replace(failing_report(), hints=(Hint("look closer", "evalkit show x"),))
    assert "  look closer  evalkit show x\n" in render_terminal(report, Screen())
    long = f"evalkit show {'x' * 100}"
    report = replace(failing_report(), hints=(Hint("look closer", long),))
    assert f"  look closer:\n    {long}\n" in render_terminal(report, Screen())
    # The longest label and the longest command need not be of one hint.
    command = f"evalkit show {'x' * 50}"
    hints = (Hint("show", command), Hint("accept as baseline", "evalkit baseline s"))
    shown = render_terminal(replace(failing_report(), hints=hints), Screen(width=80))
    assert f"  show:\n    {command}\n" in shown


def test_a_run_without_metrics_or_cases_is_still_shown() -> None:
    run = candidate_run()
    run = replace(run, header=replace(run.header, cases=(), metrics=()), trials=())
    outcome: Outcome = "undecided"
    verdict = GateResult(outcome=outcome, exit_code=3, reason="Nothing ran.", tally=make_tally())
    report = Report(run=run, gate_result=verdict)
    assert "Cases: none" in render_terminal(report, Screen())
    assert render_markdown(report).startswith("## UNDECIDED: `support`\n\nNothing ran.\n")
    assert junit_of(report).attrib["errors"] == "1"
    jsonschema.validate(json.loads(render_json(report)), SCHEMA)


def test_accounting_stands_beside_every_mean() -> None:
    summary = MetricSummary(
        metric="helpfulness",
        due=100,
        scored=96,
        missing={"agent_error": 3, "judge_error": 1},
        mean=0.84,
        rate=0.9,
    )
    report = failing_report()
    report = replace(report, gate_result=replace(report.gate_result, summaries=(summary,)))
    numbers = ("84.0%", "90.0% passed", "96 of 100 scored, 3 agent errors, 1 judge error")
    wide = render_terminal(report, Screen(width=100), verbose=True)
    assert f"  helpfulness  {'  '.join(numbers)}\n" in wide
    narrow = render_terminal(report, Screen(width=60), verbose=True)
    assert f"  helpfulness {', '.join(numbers)}" in " ".join(narrow.split()).replace(
        "helpfulness", "  helpfulness"
    )
