"""`--against`: two versions of the agent run in turns in one job, and are compared."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit.core.eval_set import Rule
from evalkit.evalset.base_version import (
    MIN_BASE_TRIALS_FOR_BROKEN,
    MIN_TRIALS_FOR_EXACT_TEST,
    baseline_run_id,
    choose_against_trials,
)
from evalkit.gate import broken_cases as broken
from evalkit.gate import sequential as looks
from tests.conftest import Project

Git = Callable[..., str]

AGENT = """
    import os
    import helper

    def answer(text):
        with open(os.environ["CALLS"], "a") as calls:
            calls.write(f"{helper.VERSION} {text}\\n")
        return helper.reply(text)
"""

HELPER = """
    VERSION = "old"

    def reply(text):
        return text.upper()
"""

SET = """
    evalset: echo
    agent: {python: ./agent.py:answer, env: [CALLS]}
    concurrency: 1
    gate:
      - {metric: exact_match, max_drop: 0.02}
    cases:
"""


@pytest.fixture
def change(project: Project, git: Git) -> Project:
    """A branch in which nothing is edited yet, off a commit without any baseline."""
    cases = "".join(f"      - {{id: c{n}, input: x{n}, expected: X{n}}}\n" for n in range(8))
    (project.folder / "echo.yaml").unlink()
    project.write("echo.yaml", SET + cases)
    project.write("agent.py", AGENT)
    project.write("helper.py", HELPER)
    project.write(".gitignore", ".evalkit/\n__pycache__/\ncalls.txt\n")
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "base"]):
        git(*arguments)
    git("checkout", "-q", "-b", "change")
    return project


def run(project: Project, *arguments: str, **env: str) -> Any:
    calls = {"CALLS": str(project.folder / "calls.txt")}
    return project.evalkit("run", "echo.yaml", *arguments, env={**calls, **env})


def break_helper(project: Project) -> None:
    project.write("helper.py", HELPER.replace("old", "new").replace("text.upper()", "text"))


def test_a_worse_version_fails_against_the_one_it_came_from(change: Project, git: Git) -> None:
    break_helper(change)
    git("commit", "-qam", "change")
    done = run(change, "--against", "main", "--format", "json")
    assert done.code == 1, done
    report = done.json
    check = report["checks"][0]
    assert (check["outcome"], check["baseline"], check["candidate"]) == ("fail", 1.0, 0.0)
    assert report["run"]["trials"] == report["baseline"]["trials"] == 3
    assert report["baseline"]["id"] == baseline_run_id(report["run"]["id"])
    main = git("rev-parse", "main").strip()
    assert report["baseline"]["agent"]["version"] == main[:10]
    # One trial of each in turn, each version by its own helper; who is first changes.
    calls = [line.split() for line in (change.folder / "calls.txt").read_text().splitlines()]
    assert len(calls) == 2 * 8 * 3
    pairs = list(zip(calls[::2], calls[1::2], strict=True))
    assert all(one[1] == other[1] for one, other in pairs)
    assert [one[0] for one, _ in pairs] == ["old", "new"] * 12
    assert all({one[0], other[0]} == {"old", "new"} for one, other in pairs)
    # Both are ordinary runs; the candidate is the newest, and is still compared with the other.
    stored = [folder.name for folder in change.runs()]
    assert stored == [report["baseline"]["id"], report["run"]["id"]]
    assert change.evalkit("gate", "latest").code == 1
    shown = change.evalkit("show", "latest", "c0", "--format", "json").json
    assert shown["baseline"] is not None
    assert change.evalkit("diff", stored[0], stored[1]).code == 0
    assert git("status", "--short") == ""
    assert git("worktree", "list").count("\n") == 1


def test_the_same_version_passes_and_needs_no_baseline(change: Project) -> None:
    done = run(change, "--against", "HEAD", "--trials", "1", "--format", "json")
    assert done.code == 0, done
    assert done.json["checks"][0]["difference"] == 0.0
    assert done.json["baseline"]["trials"] == 1
    assert not (change.folder / "baselines").exists()


def test_a_base_whose_agent_fails_decides_nothing(change: Project, git: Git) -> None:
    git("checkout", "-q", "main")
    change.write("helper.py", HELPER.replace("return text.upper()", "raise OSError(text)"))
    git("commit", "-qam", "broken")
    git("checkout", "-q", "-B", "change")
    change.write("helper.py", HELPER)
    git("commit", "-qam", "mended")
    done = run(change, "--against", "main")
    assert done.code == 3, done


def test_what_happened_on_the_other_branch_since_is_left_out(change: Project, git: Git) -> None:
    base = git("rev-parse", "main").strip()
    git("checkout", "-q", "main")
    change.write("helper.py", HELPER.replace("old", "later"))
    git("commit", "-qam", "later")
    git("checkout", "-q", "change")
    done = run(change, "--against", "main", "--trials", "1", "--format", "json")
    assert done.code == 0, done
    assert done.json["baseline"]["git_commit"] == base
    assert "later" not in (change.folder / "calls.txt").read_text()


def test_the_gate_still_comes_from_the_base(change: Project, git: Git) -> None:
    break_helper(change)
    text = (change.folder / "echo.yaml").read_text()
    (change.folder / "echo.yaml").write_text(text.replace("max_drop: 0.02", "max_drop: 1"))
    git("commit", "-qam", "change")
    done = run(change, "--against", "main", "--base", "main", "--format", "json")
    assert done.code == 4, done
    assert done.json["checks"][0]["outcome"] == "fail"


def test_a_package_in_src_is_the_other_commit_s_own(change: Project, git: Git) -> None:
    git("checkout", "-q", "main")
    git("rm", "-q", "--cached", "helper.py")
    (change.folder / "helper.py").unlink()
    change.write("src/helper.py", HELPER)
    git("add", ".")
    git("commit", "-qm", "src")
    git("checkout", "-q", "-B", "change")
    change.write("src/helper.py", HELPER.replace("old", "new"))
    git("commit", "-qam", "change")
    path = str(change.folder / "src")
    done = run(change, "--against", "main", "--trials", "1", PYTHONPATH=path)
    assert done.code == 0, done
    calls = (change.folder / "calls.txt").read_text().split()[::2]
    assert calls.count("old") == calls.count("new") == 8


def test_an_interrupted_comparison_is_resumed_without_repeating_anything(
    change: Project, git: Git
) -> None:
    slow = HELPER.replace("return", "import time\n\n        time.sleep(0.05)\n        return")
    change.write("helper.py", slow)
    git("commit", "-qam", "slow")
    environ = change.environ({"CALLS": str(change.folder / "calls.txt")})
    process = subprocess.Popen(
        change.command("run", "echo.yaml", "--against", "HEAD", "--run-id", "both"),
        cwd=change.folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    calls = change.folder / "calls.txt"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (calls.exists() and len(calls.read_text()) > 60):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    head = git("rev-parse", "HEAD")[:10]
    assert f"--resume --run-id both --against {head}" in " ".join(out.split())
    refused = run(change, "--resume")
    assert refused.code == 2
    assert "--against" in refused.err
    done = run(change, "--resume", "--against", head, "--format", "json")
    assert done.code == 0, done
    assert len(calls.read_text().splitlines()) == 2 * 8 * 3
    for name in ("both", "both-base"):
        rows = (change.folder / ".evalkit" / "runs" / name / "trials.jsonl").read_text()
        keys = {
            (json.loads(row)["case_id"], json.loads(row)["number"]) for row in rows.splitlines()
        }
        assert len(keys) == 24


def test_what_does_not_go_together_is_refused(change: Project, tmp_path: Path) -> None:
    done = run(change, "--against", "main", "--baseline", "latest", "--shard", "1/2", "--cache")
    assert done.code == 2
    assert done.err.count("--against") == 3
    done = run(change, "--against", "nowhere")
    assert done.code == 2
    assert "--against 'nowhere': there is no such commit here. Fetch it first" in done.err
    assert change.runs() == []


def test_as_many_trials_are_run_as_the_rules_can_use() -> None:
    assert MIN_TRIALS_FOR_EXACT_TEST == looks.MIN_BASE_TRIALS_FOR_LOOKS
    assert MIN_BASE_TRIALS_FOR_BROKEN == broken.MIN_BASE_TRIALS
    assert choose_against_trials([Rule(metric="m", max_drop=0.1)]) == MIN_TRIALS_FOR_EXACT_TEST
    assert choose_against_trials([Rule(broken_cases=0)]) == MIN_BASE_TRIALS_FOR_BROKEN
