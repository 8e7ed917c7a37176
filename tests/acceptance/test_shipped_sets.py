"""The shipped sets through the command line: the good agent passes, the worse one fails."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.support.paths import ROOT

REPOSITORY = ROOT


@pytest.fixture
def shipped(tmp_path: Path) -> Project:
    made = Project(tmp_path / "shipped")
    for folder in ("evalsets", "rubrics"):
        shutil.copytree(REPOSITORY / folder, made.folder / folder)
    return made


def test_the_shipped_agent_passes_and_is_not_perfect(shipped: Project) -> None:
    done = shipped.evalkit("run", "evalsets/support.yaml", "--format", "json")
    assert done.code == 0, done.err
    report = done.json
    assert report["tally"]["counts"]["scored"] == 100
    rates = {m["metric"]: m["rate"] for m in report["metrics"] if m["tag"] is None}
    assert 0.7 < rates["facts"] < 0.95


def test_the_worse_version_fails_and_the_cases_that_broke_are_named(shipped: Project) -> None:
    done = shipped.evalkit(
        "run",
        "evalsets/support.yaml",
        "--agent",
        "./support/agent_v2.py:answer",
        "--format",
        "json",
    )
    assert done.code == 1, done.err
    regressed = {c["id"] for c in done.json["cases"] if c["status"] == "regressed"}
    typos = {c["id"] for c in done.json["cases"] if "typo" in c["tags"]}
    assert len(regressed & typos) >= 8
    assert done.json["checks"][0]["outcome"] == "fail"


def test_breaking_one_topic_of_the_agent_turns_the_build_red_and_names_that_topic(
    shipped: Project,
) -> None:
    for article in (shipped.folder / "evalsets/support/knowledge").glob("*.md"):
        if re.search(r"^topic: (refunds|warranty)$", article.read_text(), re.MULTILINE):
            article.unlink()
    done = shipped.evalkit("run", "evalsets/support.yaml", "--format", "json")
    assert done.code == 1, done.err
    broken = [c for c in done.json["cases"] if c["status"] == "regressed"]
    of_topic = [c for c in broken if {"refunds", "warranty"} & set(c["tags"])]
    assert len(of_topic) > 10
    assert len(of_topic) / len(broken) > 0.8


@pytest.mark.slow
def test_unchanged_agents_are_not_failed_by_chance(shipped: Project) -> None:
    codes = [
        shipped.evalkit("run", "evalsets/support.yaml", "--seed", str(seed)).code
        for seed in range(100, 106)
    ]
    assert codes.count(0) >= 5, codes


def test_two_recordings_with_one_seed_differ_only_in_times(shipped: Project) -> None:
    texts = []
    for name, hashing in (("a", "1"), ("b", "2")):
        arguments = ("run", "evalsets/support.yaml", "--run-id", name, "--seed", "3")
        shipped.evalkit(*arguments, env={"PYTHONHASHSEED": hashing})
        rows = shipped.rows(shipped.folder / ".evalkit/runs" / name)
        texts.append(sorted((row["case_id"], row["output"].get("text")) for row in rows))
    assert texts[0] == texts[1]
