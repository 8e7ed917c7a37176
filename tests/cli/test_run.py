"""`evalkit run -x`: no trial starts after one that fails, and what did not run is never green."""

from __future__ import annotations

import pytest

from tests.conftest import Project

SET = """
    evalset: steps
    agent: {python: ./agent.py:answer}
    metrics: [exact_match]
    gate: [{metric: exact_match, min: MIN}]
    cases:
      - {id: good, input: a, expected: A}
      - {id: bad, input: b, expected: X}
      - {id: never, input: c, expected: C}
      - {id: d, input: d, expected: D}
      - {id: e, input: e, expected: E}
      - {id: f, input: f, expected: F}
      - {id: g, input: g, expected: G}
"""


@pytest.mark.parametrize("option", ["-x", "--exitfirst"])
def test_exitfirst_starts_no_trial_after_a_failed_one(project: Project, option: str) -> None:
    project.write("set.yaml", SET.replace("MIN", "0.9"))
    done = project.evalkit("run", "set.yaml", option, "--concurrency", "1", "--trials", "1")
    assert [row["case_id"] for row in project.rows()] == ["good", "bad"]
    assert done.code in (1, 3), done
    assert "--resume" in done.out


def test_what_exitfirst_left_out_is_never_green(project: Project) -> None:
    project.write("set.yaml", SET.replace("MIN", "0.1"))
    assert project.evalkit("run", "set.yaml").code == 0
    done = project.evalkit("run", "set.yaml", "-x", "--concurrency", "1", "--trials", "1")
    assert done.code == 3, done
    assert project.evalkit("run", "set.yaml", "--resume").code == 0


def test_exitfirst_changes_nothing_where_all_passes(project: Project) -> None:
    assert project.evalkit("run", "echo.yaml", "-x").code == 0
    assert len(project.rows()) == 3
