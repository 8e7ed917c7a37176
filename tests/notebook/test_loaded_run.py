"""Stored runs in a notebook: their verdicts, their tables, and what changed between them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

import evalkit
from evalkit.core.errors import InvalidInput
from evalkit.notebook.comparison import CASE_COLUMNS, METRIC_COLUMNS
from evalkit.store.frames import CASE_COLUMNS as RUN_CASE_COLUMNS
from tests.conftest import Project
from tests.support.paths import ROOT

GUIDE = (ROOT / "evalkit" / "guide" / "python.md").read_text()


AGENT = """
def answer(asked):
    text = asked if isinstance(asked, str) else asked[-1]["content"]
    return text.upper()
"""


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a baseline of version v3, and a run of v4 in which one case fails."""
    project = Project(tmp_path_factory.mktemp("compared"))
    project.write("agent.py", AGENT)
    project.write(
        "echo.yaml",
        """
        evalset: echo
        agent: {python: ./agent.py:answer}
        metrics: [exact_match, latency_s]
        gate: [{must_pass: all}, {metric: exact_match, max_drop: 0.05}]
        cases:
          - {id: one, input: one, expected: ONE, tags: [short]}
          - {id: two, input: two, expected: TWO}
          - {id: <b>three</b>, input: [{role: user, content: three}], expected: THREE}
        """,
    )
    assert (
        project.evalkit("baseline", "echo.yaml", "--trials", "2", "--agent-version", "v3").code == 0
    )
    project.write("agent.py", AGENT.replace("upper()", "upper().replace('TWO', '2')"))
    assert project.evalkit("run", "echo.yaml", "--agent-version", "v4").code == 1
    return project


def test_a_run_shows_its_verdict(compared: Project) -> None:
    run = evalkit.load_run("latest", compared.folder)
    assert (run.outcome, run.evalset, run.agent_version) == ("fail", "echo", "v4")
    shown = compared.evalkit("show", "latest", "--format", "json").json
    text, html, markdown = repr(run), run._repr_html_(), run._repr_markdown_()
    for each in (text, html, markdown):
        assert "FAIL" in each
        assert "max drop 5 pt" in each
        assert run.id in each
    assert text.startswith("FAIL  echo, version v4, run ")
    # The words of the reason are those of `show`, however the lines are folded.
    words = " ".join(text.split())
    assert shown["reason"].removeprefix("FAIL ").partition(". ")[0] in words
    assert "<b>" not in html
    assert "&lt;b&gt;three&lt;/b&gt;" in run.compare()._repr_html_() or "three" not in html

    baseline = evalkit.load_run("baseline", compared.folder)
    assert baseline.outcome is None
    assert repr(baseline).startswith("Baseline of echo, version v3, run ")
    both = evalkit.load_runs(["v4", "baseline"], compared.folder)
    assert re.search(r"FAIL +echo +v4", repr(both))
    assert re.search(r"BASELINE +echo +v3", repr(both))


def test_a_run_of_a_broken_set_has_no_verdict_and_raises_nothing(
    compared: Project, tmp_path: Path
) -> None:
    copy = Project(tmp_path / "copy")
    shutil.copytree(compared.folder, copy.folder)
    copy.write("echo.yaml", "cases: 3\n")
    broken = evalkit.load_run("latest", copy.folder)
    assert "There is no verdict:" in repr(broken)
    assert "is not a file of cases" in " ".join(repr(broken).split())
    with pytest.raises(InvalidInput):
        _ = broken.outcome
    assert len(broken.trials) == len(evalkit.load_run("latest", compared.folder).trials)


def test_a_comparison_says_what_diff_says(compared: Project) -> None:
    run = evalkit.load_run("latest", compared.folder)
    comparison = run.compare()
    document = compared.evalkit("diff", "baseline", "latest", "--format", "json").json["comparison"]
    cases = comparison.cases
    assert list(cases.columns) == list(CASE_COLUMNS)
    assert dict(zip(cases.case_id, cases.status, strict=True)) == {
        case["case_id"]: case["status"] for case in document["cases"]
    }
    [regressed] = cases[cases.status == "regressed"].to_dict("records")
    assert (regressed["case_id"], regressed["passed"], regressed["newly_failing"]) == (
        "two",
        0,
        True,
    )
    assert list(comparison.metrics.columns) == list(METRIC_COLUMNS)
    assert list(comparison.metrics.difference) == [
        metric["difference"] for metric in document["metrics"]
    ]
    assert list(comparison.notes) == document["notes"]
    for shown in (repr(comparison), comparison._repr_html_(), comparison._repr_markdown_()):
        assert "1 regressed, 2 passed" in shown
        assert "exact_match" in shown
    # A loaded run, a version, and the name of the baseline are the same side.
    loaded = evalkit.load_run("baseline", compared.folder)
    assert repr(run.compare(loaded)) == repr(run.compare("baseline"))
    assert len(loaded.compare(run).cases) == 3
    with pytest.raises(InvalidInput, match="no run 'v9'"):
        run.compare("v9")


def test_the_tables_have_the_columns_of_the_views(compared: Project) -> None:
    run = evalkit.load_run("latest", compared.folder)
    for view, frame in (("trials", run.trials), ("scores", run.scores)):
        done = compared.evalkit(
            "traces",
            "--sql",
            f"select * from {view} where agent_version = 'v4'",
            "--format",
            "json",
        )
        rows = done.json["rows"]
        assert {*rows[0], *(["tags"] if view == "trials" else [])} == set(frame.columns)
        assert len(rows) == len(frame)
        keys = [
            name for name in ("case_id", "trial", "metric", "state", "passed") if name in rows[0]
        ]
        assert sorted(map(str, pd.DataFrame(rows)[keys].values.tolist())) == sorted(
            map(str, frame[keys].values.tolist())
        )
    sql = "select * from spans union all by name select null as run"
    spans = compared.evalkit("traces", "--sql", sql, "--format", "json").json["rows"]
    assert set(run.spans.columns) == set(spans[0])
    assert run.spans.empty
    assert list(run.cases.columns) == list(RUN_CASE_COLUMNS)
    assert dict(zip(run.cases.case_id, run.cases.pass_rate, strict=True)) == {
        "one": 1.0, "two": 0.0, "<b>three</b>": 1.0
    }  # fmt: skip
    assert run.cases.input.iloc[2] == [{"role": "user", "content": "three"}]
    assert run.trials.tags.iloc[0] == ("short",)
    # Numbers that no trial has are missing, so that they can be summed.
    assert run.trials.cost_usd.sum() == 0
    assert run.trials.latency_s.min() > 0


def test_an_unknown_run_is_an_error_of_the_caller(project: Project) -> None:
    with pytest.raises(InvalidInput, match="no stored runs"):
        evalkit.load_run("latest", project.folder)


def test_the_examples_of_the_guide_run(compared: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    [example] = re.findall(r"```python\n(.+?)```", GUIDE, re.DOTALL)
    monkeypatch.chdir(compared.folder)
    names: dict[str, object] = {}
    exec(example, names)
    assert isinstance(names["failed"], pd.DataFrame)
    for line in example.splitlines():
        # The lines that only show something raise nothing, either.
        if re.match(r"\w+ +#|\w+\.", line):
            assert repr(eval(line, names))


def test_the_tables_of_the_guide_name_every_column(compared: Project) -> None:
    run = evalkit.load_run("latest", compared.folder)
    for frame in (run.cases, run.trials, run.scores, run.compare().cases, run.compare().metrics):
        assert f"| {', '.join(frame.columns)} |" in GUIDE
