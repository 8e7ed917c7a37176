"""Baseline files: cut off, edited, of another schema, of another set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.errors import ApprovalNeeded, StoreError
from evalkit.core.eval_set import Case
from evalkit.core.location import Location
from evalkit.core.run import Run, RunHeader
from evalkit.core.trial import Output, Score, Trial
from evalkit.store.baseline import read_baseline, write_baseline
from tests.conftest import ECHO_SET, Project


def make_run(texts: list[str]) -> Run:
    cases = tuple(
        Case(id=f"c{n}", input=text, expected=text, digest=str(n), where=Location(path="x", line=n))
        for n, text in enumerate(texts)
    )
    header = RunHeader(
        id="r",
        evalset="demo",
        evalset_path="demo.yaml",
        evalset_digest="d",
        cases=cases,
        metrics=(),
        gate=(),
        trials=1,
        agent_kind="python",
        agent_entrypoint="a:b",
        agent_digest="e",
        agent_version="v1",
        settings={},
        created="2026-01-01T00:00:00+00:00",
        evalkit_version="0",
    )
    trials = tuple(
        Trial(
            case_id=case.id,
            number=0,
            output=Output(text=str(case.input)),
            scores=(Score(metric="m", value=1.0, passed=True),),
        )
        for case in cases
    )
    return Run(header=header, trials=trials)


@given(st.lists(st.text(st.characters(), max_size=20), min_size=1, max_size=4))
def test_a_baseline_reads_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    path = tmp_path_factory.mktemp("b") / "b.jsonl"
    run = make_run(texts)
    write_baseline(path, run)
    back = read_baseline(path)
    assert back.trials == tuple(sorted(run.trials, key=lambda trial: trial.case_id))
    assert [case.input for case in back.header.cases] == [
        case.input for case in sorted(run.header.cases, key=lambda case: case.id)
    ]


def test_cut_off_at_any_byte_it_is_unreadable_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "b.jsonl"
    write_baseline(path, make_run(["one", "two"]))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(StoreError, match=r"baseline unreadable.*evalkit baseline"):
            read_baseline(path)
        assert path.read_bytes() == whole[:length]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"value":1.0', '"value":0.5'),
        ('"text":"one"', '"text":"won"'),
        ('"agent_version":"v1"', '"agent_version":"v2"'),
        ('"expected":"two"', '"expected":"too"'),
        ('"trials":1', '"trials":9'),
    ],
)
def test_any_edit_needs_approval(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "b.jsonl"
    write_baseline(path, make_run(["one", "two"]))
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ApprovalNeeded, match="edited since it was recorded"):
        read_baseline(path)


def test_a_newer_schema_says_who_made_it(tmp_path: Path) -> None:
    path = tmp_path / "b.jsonl"
    path.write_text(json.dumps({"schema": "evalkit.baseline/v9", "evalkit_version": "7.1"}) + "\n")
    with pytest.raises(StoreError, match=r"evalkit\.baseline/v9.*evalkit 7\.1"):
        read_baseline(path)


def test_moving_a_case_in_its_file_changes_no_baseline(project: Project) -> None:
    project.evalkit("baseline", "echo.yaml", "--trials", "1")
    path = project.folder / "baselines" / "echo.jsonl"
    before = [json.loads(line)["case"] for line in path.read_text().splitlines()[1:]]
    lines = ECHO_SET.rstrip().splitlines()
    project.write("echo.yaml", "\n".join([*lines[:-2], "", lines[-1], lines[-2]]) + "\n")
    project.evalkit("baseline", "echo.yaml", "--trials", "1")
    after = [json.loads(line)["case"] for line in path.read_text().splitlines()[1:]]
    assert before == after


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"{}\n", b"[]\n", b"\xff\xfe", b"nonsense", b"1\n"]
)
def test_what_is_no_baseline_exits_3_before_any_call(project: Project, content: bytes) -> None:
    project.write("baselines/echo.jsonl", content)
    done = project.evalkit("run", "echo.yaml")
    assert done.code == 3
    assert "baseline unreadable" in done.err
    assert not project.runs()


def test_a_case_whose_label_changed_is_named_and_not_compared(project: Project) -> None:
    project.write("echo.yaml", ECHO_SET.replace("cases:", "gate: [{max_regressed: 0}]\n    cases:"))
    project.evalkit("baseline", "echo.yaml", "--trials", "3")
    text = (project.folder / "echo.yaml").read_text()
    project.write("echo.yaml", text.replace("expected: TWO", "expected: ZWEI"))
    done = project.evalkit("run", "echo.yaml", "--format", "json")
    origins = {case["case_id"]: case["origin"] for case in done.json["comparison"]["cases"]}
    assert origins["two"] == "edited"
    assert "two" in " ".join(done.json["notes"])


def test_a_metric_with_other_arguments_is_scored_again_on_the_baseline_s_outputs(
    project: Project,
) -> None:
    text = ECHO_SET.replace("cases:", "gate: [{metric: exact_match, max_drop: 0.02}]\n    cases:")
    project.write("echo.yaml", text)
    project.evalkit("baseline", "echo.yaml", "--trials", "3")
    project.write(
        "echo.yaml", text.replace("[exact_match]", "[{exact_match: {normalize: [case]}}]")
    )
    before = (project.folder / "baselines" / "echo.jsonl").read_bytes()
    done = project.evalkit("run", "echo.yaml", "--format", "json")
    assert done.code == 0
    assert "exact_match: rescored on the baseline's stored outputs" in " ".join(done.json["notes"])
    assert (project.folder / "baselines" / "echo.jsonl").read_bytes() == before
