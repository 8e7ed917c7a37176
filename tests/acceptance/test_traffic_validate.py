"""`evalkit traffic validate`, as a user types it."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Project


def test_runs_are_joined_with_the_outcomes_of_deployed_versions(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALKIT_REDACTION_KEY", "a-key-for-tests-only-0123456789")
    assert project.evalkit("traffic", "validate", "echo.yaml").code == 5  # without a run
    assert project.evalkit("run", "echo.yaml", "--agent-version", "v1").code == 0
    none = project.evalkit("traffic", "validate", "echo.yaml")
    assert none.code == 2
    assert "no traffic is stored" in none.err
    lines = [
        {
            "ts": f"2026-11-{1 + number % 20:02d}T10:00:00Z",
            "input": f"question {number}",
            "output": "answer",
            "user": f"user-{number % 30}",
            "version": ("v1", "v2", "", "v9")[number % 4],
            "feedback": 1 if number % 3 else -1,
            "feedback_name": "thumbs",
        }
        for number in range(120)
    ]
    path = project.folder / "log.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert (
        project.evalkit("traffic", "import", "log.jsonl", "--as", "p", "--format", "table").code
        == 0
    )
    assert project.evalkit("run", "echo.yaml", "--agent-version", "v2").code == 0

    found = project.evalkit("traffic", "validate", "echo.yaml")
    assert found.code == 0, found.err
    text = " ".join(found.out.split())
    assert "TOO FEW VERSIONS: 2 of 3 versions in production have stored runs of echo" in text
    assert "No stored run is of v9." in text
    assert "30 requests without a version left out." in text
    whole = project.evalkit(
        "traffic", "validate", "echo.yaml", "--traffic", "p", "--format", "json"
    ).json
    assert whole["schema"] == "evalkit.traffic_validation/v1"
    assert [(each["version"], each["runs"]) for each in whole["versions"]] == [
        ("v1", 1),
        ("v2", 1),
        ("v9", 0),
    ]
    assert sum(each["requests"] for each in whole["versions"]) == pytest.approx(90)
    assert {each["finding"] for each in whole["metrics"]} <= {"constant", "too few versions"}

    wrong = project.evalkit("traffic", "validate", "echo.yaml", "--outcome", "latency_s")
    assert wrong.code == 2
    assert "'latency_s' is no outcome that is good or bad for a request" in wrong.err
