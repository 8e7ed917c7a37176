"""`evalkit show --flaky`: pass rate, flip rate and pass^k, from the baseline and stored runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import jsonschema
import pytest

import evalkit
from evalkit.commands.flaky import chance_all_pass
from tests.conftest import ECHO_SET, Done, Project

SCHEMA = json.loads((Path(evalkit.__file__).parent / "schemas" / "report.schema.json").read_text())

ALTERNATING = """
    def answer(text, context):
        if text == "two":
            return text.upper() if context["trial"] % 2 else "?"
        return text.upper()
"""


@pytest.fixture
def flaky(project: Project) -> Project:
    project.write("agent.py", ALTERNATING)
    assert project.evalkit("baseline", "echo.yaml", "--trials", "6").code == 0
    return project


def shown(project: Project, ref: str) -> Done:
    done = project.evalkit("show", ref, "--flaky", "--format", "json")
    assert done.code == 0, done.err
    jsonschema.validate(done.json, SCHEMA)
    return done


def test_run_diff_and_show_name_the_same_flaky_cases(flaky: Project) -> None:
    # `two` disagrees in the baseline, `one` in the run, `three` only in a run before.
    flaky.write("agent.py", ALTERNATING.replace('"two"', '"three"'))
    flaky.evalkit("run", "echo.yaml", "--trials", "2")
    flaky.write("agent.py", ALTERNATING.replace('"two"', '"one"'))
    done = flaky.evalkit("run", "echo.yaml", "--trials", "2", "--format", "json")
    documents = {
        "run": [(case["id"], case["flaky"]) for case in done.json["cases"]],
        "diff": [
            (case["case_id"], case["flaky"])
            for case in flaky.evalkit("diff", "baseline", "latest", "--format", "json").json[
                "comparison"
            ]["cases"]
        ],
        "show": [(case["case_id"], case["flaky"]) for case in shown(flaky, "latest").json["cases"]],
    }
    assert {
        name: sorted(one for one, is_flaky in cases if is_flaky)
        for name, cases in documents.items()
    } == {name: ["one", "two"] for name in documents}
    text = " ".join(flaky.evalkit("show", "latest", "--flaky").out.split())
    assert "2 of 3 cases flaky" in text
    assert "Trials of 1 case (three) disagree only in other stored runs." in text


@pytest.mark.parametrize("passed", range(7))
def test_pass_k_is_the_share_of_all_choices_of_k_trials_that_passed(passed: int) -> None:
    trials = [True] * passed + [False] * (6 - passed)
    for k in range(1, 7):
        chosen = [all(some) for some in combinations(trials, k)]
        assert chance_all_pass(passed, 6, k) == pytest.approx(sum(chosen) / len(chosen))


def test_a_flaky_case_has_its_rates_and_a_steady_one_is_left_out(flaky: Project) -> None:
    found = shown(flaky, "baseline").json
    cases = {case["case_id"]: case for case in found["cases"]}
    two = cases["two"]
    assert (two["passed"], two["trials"], two["flaky"]) == (3, 6, True)
    assert two["flip_rate"] == pytest.approx(9 / 15), "9 of the 15 pairs of 3 and 3 disagree"
    assert two["all_pass"] == {
        "2": pytest.approx(3 / 15),
        "3": pytest.approx(1 / 20),
        "5": 0.0,
    }
    assert (cases["one"]["flip_rate"], cases["one"]["flaky"]) == (0.0, False)
    assert len(found["runs"]) == 1, "the baseline is the run that recorded it"
    assert found["runs"][0]["pass_rate"] == pytest.approx(5 / 6)
    assert found["runs"][0]["all_pass"]["2"] == pytest.approx((1 + 1 + 0.2) / 3)
    text = flaky.evalkit("show", "baseline", "--flaky").out
    assert "two" in text
    assert "1 of 3 cases flaky" in text
    assert "one " not in text.split("run  ", maxsplit=1)[0].replace("How consistently", "")
    assert max(map(len, text.splitlines())) <= 80


def test_other_runs_of_the_same_cases_are_added_and_edited_cases_are_not(flaky: Project) -> None:
    flaky.evalkit("run", "echo.yaml", "--trials", "2")
    text = ECHO_SET.replace("expected: THREE", "expected: DREI")
    flaky.write("echo.yaml", text)
    flaky.evalkit("run", "echo.yaml")
    found = shown(flaky, "latest").json
    cases = {case["case_id"]: case for case in found["cases"]}
    assert (cases["two"]["passed"], cases["two"]["trials"]) == (3 + 1 + 0, 6 + 2 + 1)
    assert cases["three"]["trials"] == 1
    assert [run["trials"] for run in found["runs"]] == [6, 2, 1]
    assert [run["cases"] for run in found["runs"]] == [2, 2, 3]


def test_a_new_version_that_is_better_makes_no_case_flip(
    project: Project, git: Callable[..., str]
) -> None:
    project.write(
        "agent.py", "def answer(text):\n    return '?' if text == 'two' else text.upper()\n"
    )
    git("init", "-q")
    for agent in (None, "def answer(text):\n    return text.upper()\n"):
        if agent:
            project.write("agent.py", agent)
        git("add", "agent.py", "echo.yaml")
        git("commit", "-qm", "x")
        for _ in range(2):
            project.evalkit("run", "echo.yaml")
    two = shown(project, "latest").json["cases"][1]
    assert (two["passed"], two["trials"], two["flip_rate"]) == (2, 4, 0.0)


def test_runs_scored_otherwise_are_left_out_and_that_is_said(flaky: Project) -> None:
    flaky.write("echo.yaml", ECHO_SET.replace("[exact_match]", "[{contains: {all: true}}]"))
    flaky.evalkit("run", "echo.yaml")
    found = shown(flaky, "latest").json
    assert [run["trials"] for run in found["runs"]] == [1]
    assert "1 stored runs are left out" in found["notes"][0]


def test_flaky_is_of_all_cases(flaky: Project) -> None:
    done = flaky.evalkit("show", "latest", "two", "--flaky")
    assert done.code == 2
    assert "Leave out" in done.err
