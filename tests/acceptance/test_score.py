"""`evalkit score` scores stored outputs by today's set, and `--cache` reuses outputs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import Project

COUNTING_AGENT = """
    import pathlib

    def answer(text):
        with (pathlib.Path(__file__).parent / "asked").open("a") as asked:
            asked.write(text + "\\n")
        return text.upper()
"""

RUBRIC = """
    rubric: shout
    needs: [reference]
    pass_at: 1
    criteria:
      - {name: same, question: Does the answer say what the reference says?}
"""

JUDGED_SET = """
    evalset: echo
    agent: {python: ./agent.py:answer}
    judge: lexical
    metrics: [exact_match]
    gate: [{metric: exact_match, max_drop: 0.02}]
    cases:
      - {id: one, input: one, expected: ONE}
      - {id: two, input: two, expected: TWO}
      - {id: three, input: three, expected: nothing of the kind}
"""


@pytest.fixture
def counted(project: Project) -> Project:
    """A project whose agent writes down what it is asked."""
    project.write("agent.py", COUNTING_AGENT)
    project.write("shout.yaml", RUBRIC)
    project.write("echo.yaml", JUDGED_SET)
    return project


def asked(project: Project) -> int:
    path = project.folder / "asked"
    return len(path.read_text().splitlines()) if path.exists() else 0


def means(report: Any) -> dict[str, float]:
    return {row["metric"]: row["mean"] for row in report["metrics"] if row["tag"] is None}


def with_rubric(project: Project) -> None:
    text = (project.folder / "echo.yaml").read_text()
    project.write("echo.yaml", text.replace("[exact_match]", "[exact_match, rubric: shout.yaml]"))


def test_a_run_is_scored_again_by_a_metric_it_did_not_have(counted: Project) -> None:
    counted.evalkit("run", "echo.yaml", "--allow-missing-baseline")
    first = counted.runs()[-1].name
    before = asked(counted)
    with_rubric(counted)
    done = counted.evalkit("score", "latest", "--allow-missing-baseline", "--format", "json")
    assert done.code == 0, done.err
    assert means(done.json)["shout"] == pytest.approx(2 / 3)
    assert done.json["run"]["scored_from"] == first
    assert done.json["run"]["judges"]["judges"] == ["lexical"]
    assert all(control["held"] for control in done.json["run"]["judges"]["controls"])
    assert asked(counted) == before, "the agent was asked"
    assert first != counted.runs()[-1].name, "the run it came from is kept"


def test_a_label_that_was_wrong_is_put_right_without_asking_the_agent(counted: Project) -> None:
    counted.evalkit("run", "echo.yaml", "--allow-missing-baseline")
    text = (counted.folder / "echo.yaml").read_text()
    counted.write("echo.yaml", text.replace("nothing of the kind", "THREE"))
    done = counted.evalkit("score", "latest", "--allow-missing-baseline", "--format", "json")
    assert means(done.json)["exact_match"] == 1
    assert asked(counted) == 3


def test_a_case_that_is_asked_otherwise_today_is_left_out(counted: Project) -> None:
    counted.evalkit("run", "echo.yaml", "--allow-missing-baseline")
    text = (counted.folder / "echo.yaml").read_text()
    counted.write("echo.yaml", text.replace("input: two", "input: deux"))
    done = counted.evalkit("score", "latest", "--allow-missing-baseline", "--format", "json")
    assert [case["id"] for case in done.json["cases"]] == ["one", "three"]
    counted.write("echo.yaml", text.replace("input: ", "input: not "))
    done = counted.evalkit("score", "latest")
    assert done.code == 5
    assert "the input of every case has changed" in done.err


def test_a_baseline_is_scored_again_in_its_place(counted: Project) -> None:
    counted.evalkit("baseline", "echo.yaml", "--trials", "3")
    path = counted.folder / "baselines" / "echo.jsonl"
    old = path.read_text().splitlines()
    with_rubric(counted)
    done = counted.evalkit("score", "baseline")
    assert done.code == 0, done.err
    new = path.read_text().splitlines()
    assert asked(counted) == 9
    assert "shout" in json.dumps(json.loads(new[0])["metrics"])
    outputs = [[trial["output"] for trial in json.loads(line)["trials"]] for line in (*old, *new)[1:] if "case_count" not in line]  # fmt: skip
    assert outputs[: len(old) - 1] == outputs[len(old) - 1 :], "outputs were touched"


def test_a_run_keeps_the_baseline_it_was_decided_with(counted: Project) -> None:
    counted.evalkit("baseline", "echo.yaml", "--trials", "3")
    with_rubric(counted)
    text = (counted.folder / "echo.yaml").read_text()
    counted.write("echo.yaml", text.replace("gate: [", "gate: [{metric: shout, max_drop: 0.5}, "))
    run = counted.evalkit("run", "echo.yaml", "--format", "json").json
    again = counted.evalkit("gate", "latest", "--format", "json").json
    assert run["checks"] == again["checks"]
    assert run["exit_code"] == again["exit_code"]
    assert "shout: rescored on the baseline's stored outputs" in " ".join(again["notes"])


def test_with_cache_a_second_run_asks_nobody(counted: Project) -> None:
    with_rubric(counted)
    told = []
    for flags in ((), ("--cache",), ("--cache",)):
        done = counted.evalkit("run", "echo.yaml", "--allow-missing-baseline", *flags)
        assert done.code == 0, done.err
        told.append("answers from the cache" in done.out)
    assert told == [False, False, True]
    assert "3 of 3 answers from the cache" in done.out
    assert asked(counted) == 6, "the first run keeps nothing, the second asks, the third does not"
    assert all("cached" in row["output"]["flags"] for row in counted.rows())


def test_the_cache_forgets_nothing_that_can_change_an_answer(counted: Project) -> None:
    def run(*options: str) -> int:
        before = asked(counted)
        assert (
            counted.evalkit(
                "run", "echo.yaml", "--cache", "--allow-missing-baseline", *options
            ).code
            == 0
        )
        return asked(counted) - before

    text = (counted.folder / "echo.yaml").read_text()
    assert run() == 3
    assert run() == 0
    assert run("--trials", "2") == 3, "a second trial is another question"
    assert run("--seed", "7") == 3
    counted.write("echo.yaml", text.replace("input: one,", "input: one, metadata: {a: 1},"))
    assert run() == 1
    counted.write("echo.yaml", text.replace("expected: ONE", "expected: EINS"))
    assert run() == 0, "the label is no part of the question"
    counted.write("agent.py", COUNTING_AGENT + "\n    VERSION = 2\n")
    counted.write("echo.yaml", text)
    assert run() == 3, "the agent's code changed"


def test_a_broken_entry_of_the_cache_is_asked_for_again(counted: Project) -> None:
    counted.evalkit("run", "echo.yaml", "--cache", "--allow-missing-baseline")
    entries = sorted((counted.folder / ".evalkit" / "cache" / "outputs").rglob("*.json"))
    assert len(entries) == 3
    entries[0].write_text(entries[0].read_text()[:-20])
    entries[1].write_text(entries[2].read_text())
    entries[2].write_bytes(b"\x80\x04")
    done = counted.evalkit("run", "echo.yaml", "--cache", "--allow-missing-baseline")
    assert done.code == 0, done.err
    assert "the cached record is broken" in done.err
    assert asked(counted) == 6


def test_an_agent_s_error_is_never_kept(counted: Project) -> None:
    counted.write(
        "agent.py", COUNTING_AGENT.replace("return text.upper()", "raise ValueError(text)")
    )
    for _ in range(2):
        assert counted.evalkit("run", "echo.yaml", "--cache", "--allow-missing-baseline").code == 3
    assert asked(counted) == 6
