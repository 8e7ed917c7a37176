"""A run from an untrusted source: only its outputs are used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def answers(project: Project, tmp_path: Path) -> Path:
    """The folder of an honest run that was made elsewhere, with a copy of the set that has one case more."""
    project.write(
        "echo.yaml",
        """
        evalset: echo
        agent: {python: ./agent.py:answer}
        metrics: [exact_match]
        gate: [{must_pass: all}]
        cases:
          - {id: one, input: one, expected: ONE}
          - {id: two, input: two, expected: TWO}
        """,
    )
    done = project.evalkit("ask", "echo.yaml", "--trials", "2", "--run-id", "theirs")
    assert done.code == 0, done.err
    assert "4 answers to 2 cases" in done.out
    assert all(not row.get("scores") for row in project.rows())
    return (project.folder / ".evalkit" / "runs" / "theirs").rename(tmp_path / "theirs")


def forge(folder: Path, header: Change | None = None, row: Change | None = None) -> None:
    """Change what a run says, and what its summary says of the files, as somebody who means it would."""
    if header is not None:
        stored = json.loads((folder / "run.json").read_text())
        header(stored)
        (folder / "run.json").write_text(json.dumps(stored))
    if row is not None:
        lines = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
        for line in lines:
            row(line)
        kept = [json.dumps(line) for line in lines if line]
        (folder / "trials.jsonl").write_text("".join(f"{line}\n" for line in kept))
    summary = json.loads((folder / "summary.json").read_text())
    for name in summary["sha256"]:
        summary["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "summary.json").write_text(json.dumps(summary))


def decide(project: Project, answers: Path) -> Any:
    done = project.evalkit("score", str(answers), "--set", "echo.yaml", "--format", "json")
    return done.json if done.out else done


def test_honest_answers_are_scored_and_decided_here(project: Project, answers: Path) -> None:
    report = decide(project, answers)
    assert (report["exit_code"], report["statuses"]["passed"]) == (0, 2)
    assert report["run"]["scored_from"] == "theirs"
    assert report["run"]["trials"] == 2


def wrong_answer(row: dict[str, Any]) -> None:
    if row["case_id"] == "two":
        row["output"]["text"] = "wrong"
        row["scores"] = [{"metric": "exact_match", "value": 1.0, "passed": True}]


FORGED_HEADERS: dict[str, Change] = {
    "nothing": lambda _: None,
    "no gate": lambda header: header.update(gate=[]),
    "many errors allowed": lambda header: header["settings"].update(
        max_errors=1000, on_inconclusive="pass"
    ),
    "an id that is a command": lambda header: header.update(id="x; rm -rf ~ #"),
    "another name": lambda header: header.update(evalset="../other"),
    "labels of its own": lambda header: header["cases"][1].update(expected="wrong", digest="0"),
    "scored from": lambda header: header.update(scored_from="x", base_commit="y", against="z"),
    "fresh trials": lambda header: header.update(fresh={"two": 1}),
}


@pytest.mark.parametrize("header", FORGED_HEADERS.values(), ids=FORGED_HEADERS)
def test_whatever_a_run_says_of_itself_a_wrong_answer_fails(
    project: Project, answers: Path, header: Change
) -> None:
    forge(answers, header, wrong_answer)
    report = decide(project, answers)
    assert report["exit_code"] == 1
    assert report["statuses"]["failing"] == 1
    assert report["run"]["evalset"] == "echo"
    assert "rm -rf" not in json.dumps(report)


def leave_out_two(row: dict[str, Any]) -> None:
    if row["case_id"] == "two":
        row.clear()


REFUSED: dict[str, tuple[Change | None, Change | None, str]] = {
    "of another set": (
        lambda h: h.update(evalset_path="easy.yaml"),
        None,
        "it is a run of easy.yaml",
    ),
    "a shard": (lambda h: h.update(shard="1/9"), None, "a part of the set"),
    "a selection": (lambda h: h.update(selection="--case one"), None, "a part of the set"),
    "looks": (lambda h: h.update(looks=3), None, "decided while it ran"),
    "too many trials": (lambda h: h.update(trials=10**9), None, "1,000,000,000 trials"),
    "no trials": (lambda h: h.update(trials=0), None, "0 trials per case"),
    "fewer cases": (lambda h: h["cases"].pop(), None, "missing or have other inputs here (two)"),
    "another question": (
        lambda h: h["cases"][1].update(input="one"),
        None,
        "missing or have other inputs here (two)",
    ),
    "fewer answers": (None, leave_out_two, "do not have 2 trials each (two)"),
    "one answer twice": (None, lambda row: row.update(number=0), "do not have 2 trials each"),
}


@pytest.mark.parametrize(("header", "row", "why"), REFUSED.values(), ids=REFUSED)
def test_a_run_that_is_not_whole_or_of_another_set_is_refused(
    project: Project, answers: Path, header: Change | None, row: Change | None, why: str
) -> None:
    forge(answers, header, row)
    done = project.evalkit("score", str(answers), "--set", "echo.yaml")
    assert done.code == 3, done
    assert why in done.err
    assert not project.runs()


def test_a_run_without_its_summary_is_refused(project: Project, answers: Path) -> None:
    (answers / "summary.json").unlink()
    assert project.evalkit("score", str(answers), "--set", "echo.yaml").code == 3


def test_cases_that_only_the_change_has_are_left_out(project: Project, answers: Path) -> None:
    text = (project.folder / "echo.yaml").read_text()
    (project.folder / "echo.yaml").write_text(text[: text.index("  - {id: two")])
    report = decide(project, answers)
    assert (report["exit_code"], len(report["cases"])) == (0, 1)


def test_asking_needs_no_judge_and_counts_no_error_as_an_answer(project: Project) -> None:
    project.write(
        "echo.yaml",
        """
        agent: {python: ./agent.py:answer}
        judge: {openai: {model: m, api_key_env: NO_SUCH_KEY}}
        metrics: [{rubric: {criteria: [{question: Is it loud?}]}, name: loud}]
        cases: [{id: one, input: one}, {id: two, input: two}]
        """,
    )
    project.write("agent.py", "def answer(text):\n    return {'one': 'ONE'}[text]\n")
    assert project.evalkit("run", "echo.yaml").code == 2
    done = project.evalkit("ask", "echo.yaml")
    assert done.code == 0, done.err
    assert "1 error among them" in done.out
