"""Stored runs in a notebook."""

from __future__ import annotations

import pytest

import evalkit
from evalkit.core.errors import InvalidInput
from tests.conftest import Project


def test_a_run_is_two_tables_that_join(project: Project) -> None:
    project.evalkit("run", "echo.yaml", "--trials", "2", "--agent-version", "v1")
    run = evalkit.load_run("latest", project.folder)
    assert list(run.trials["case"]) == ["one", "one", "two", "two", "three", "three"]
    assert run.trials["passed"].all()
    joined = run.trials.merge(run.scores, on=["run", "case", "trial"])
    assert len(joined) == 6
    assert set(joined["metric"]) == {"exact_match"}


def test_several_runs_stand_below_one_another(project: Project) -> None:
    for version in ("v1", "v2"):
        project.evalkit("run", "echo.yaml", "--agent-version", version)
    both = evalkit.load_runs(["v1", "v2"], project.folder)
    assert both.scores.groupby("agent_version")["value"].mean().to_dict() == {"v1": 1.0, "v2": 1.0}


def test_an_unknown_run_is_an_error_of_the_caller(project: Project) -> None:
    with pytest.raises(InvalidInput, match="no stored runs"):
        evalkit.load_run("latest", project.folder)
