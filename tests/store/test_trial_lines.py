"""Stored trials line by line: one case in full, the others in outline, and the same digest."""

from __future__ import annotations

import json

import pytest

from evalkit.core.errors import StoreError
from evalkit.store.baseline import read_baseline
from evalkit.store.runs import read_run
from tests.conftest import Project


def test_of_a_run_and_its_baseline_only_one_case_is_read(project: Project) -> None:
    project.evalkit("run", "echo.yaml", "--run-id", "z")
    project.evalkit("baseline", "echo.yaml", "--from", "z")
    folder = project.folder / ".evalkit" / "runs" / "z"
    baseline = project.folder / "baselines" / "echo.jsonl"
    for whole, part in (
        (read_run(folder), read_run(folder, "two")),
        (read_baseline(baseline), read_baseline(baseline, "two")),
    ):
        assert [case.id for case in part.header.cases] == [case.id for case in whole.header.cases]
        assert len(part.trials) == len(whole.trials)
        for full, read in zip(whole.trials, part.trials, strict=True):
            assert (read.case_id, read.number) == (full.case_id, full.number)
            if read.case_id == "two":
                assert read == full
            else:
                assert (read.output.text, read.scores) == ("", ())
        assert (part.trust, part.warnings) == (whole.trust, whole.warnings)


def test_a_case_is_shown_as_before_and_without_its_set(project: Project) -> None:
    project.evalkit("run", "echo.yaml", "--run-id", "z")
    project.evalkit("baseline", "echo.yaml", "--from", "z")
    shown = project.evalkit("show", "z", "two", "--format", "json").json
    whole = project.evalkit("show", "z", "--format", "json").json
    [case] = [each for each in whole["cases"] if each["id"] == "two"]
    assert shown["trials"] == case["trials"]
    assert shown["run"] == whole["run"]
    assert shown["baseline"] == whole["baseline"]
    assert [trial["output"]["text"] for trial in shown["baseline_trials"]] == ["TWO"]
    # The gate is not decided, so a broken set does not matter.
    project.write("echo.yaml", "cases: [")
    assert project.evalkit("show", "z", "two", "--format", "json").json["trials"] == case["trials"]


@pytest.mark.parametrize("edited", ["one", "two"])
def test_a_case_of_an_edited_run_is_not_shown(project: Project, edited: str) -> None:
    project.evalkit("run", "echo.yaml", "--run-id", "z")
    trials = project.folder / ".evalkit/runs/z/trials.jsonl"
    trials.write_text(trials.read_text().replace(edited.upper(), edited))
    done = project.evalkit("show", "z", "two")
    assert done.code == 3
    assert "trials.jsonl: changed by something else" in done.err


def test_a_line_that_is_no_trial_is_named_whichever_case_is_read(project: Project) -> None:
    project.evalkit("run", "echo.yaml", "--run-id", "z")
    folder = project.folder / ".evalkit/runs/z"
    (folder / "summary.json").unlink()
    trials = folder / "trials.jsonl"
    lines = trials.read_bytes().splitlines(keepends=True)
    trials.write_bytes(b"".join([lines[0], b"garbage\n", *lines[1:]]))
    with pytest.raises(StoreError, match=r"trials\.jsonl:2: not a trial"):
        read_run(folder, "two")


def test_text_that_only_json_of_python_reads_is_read(project: Project) -> None:
    project.write("agent.py", "def answer(text):\n    return '\\ud800' + '\\U0001f600' + text\n")
    project.evalkit("run", "echo.yaml", "--run-id", "z")
    folder = project.folder / ".evalkit/runs/z"
    [stored, *_] = (folder / "trials.jsonl").read_text().splitlines()
    [first, *_] = read_run(folder).trials
    assert first.output.text == json.loads(stored)["output"]["text"]
