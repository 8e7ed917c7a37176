"""A person accepts a commit: what fails or loosens the gate is accepted by name, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Project

WORSE = "def answer(text):\n    return text.upper() if text != 'two' else '?'\n"
GATED = "gate:\n  - {metric: exact_match, min: 0.9, test: point}\n"


@pytest.fixture
def change(project: Project, git: Callable[..., str]) -> Callable[[str, str], str]:
    """Commit an agent and a gate on top of a gated set; returns the commit."""
    set_text = (project.folder / "echo.yaml").read_text()
    project.write("echo.yaml", set_text + GATED)
    project.write(".gitignore", ".evalkit/\n__pycache__/\n")
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "base")
    git("checkout", "-qb", "topic")

    def commit(agent: str, gate: str) -> str:
        project.write("agent.py", agent)
        project.write("echo.yaml", set_text + gate)
        git("commit", "-qam", "change", "--allow-empty")
        return git("rev-parse", "HEAD").strip()

    return commit


def test_a_failure_is_accepted_for_its_commit_and_still_shown(
    project: Project, git: Callable[..., str], change: Callable[[str, str], str]
) -> None:
    sha = change(WORSE, GATED)
    command = ("run", "echo.yaml", "--base", "main")
    assert project.evalkit(*command).code == 1
    done = project.evalkit(*command, "--accepted-by", f"ann@{sha}")
    assert done.code == 0, done.out
    assert done.out.startswith(
        f"ACCEPTED  echo: Accepted by ann for commit {sha[:10]}: FAIL exact_match"
    )
    # As CI checks it out: merged into the target branch.
    git("checkout", "-q", "main")
    git("merge", "-q", "--no-ff", "-m", "merge", "topic")
    merged = project.evalkit(
        "run", "echo.yaml", "--base", "main^", "--accepted-by", f"ann@{sha}", "--format", "json"
    )
    assert merged.json["acceptance"] == {"who": "ann", "commit": sha}
    assert (merged.json["outcome"], merged.json["exit_code"]) == ("fail", 0)
    # The other parent is what it was merged into: nobody accepted that.
    other = git("rev-parse", "main^").strip()
    refused = project.evalkit(*command, "--accepted-by", f"ann@{other}")
    assert (refused.code, "was accepted, but the checkout is at" in refused.err) == (2, True)
    # A stored run is gated alike, and what was refused is no run.
    assert "was accepted, but" in project.evalkit("show", "latest").out
    run_id = merged.json["run"]["id"]
    gated = project.evalkit("gate", run_id, "--base", "main^", "--accepted-by", f"ann@{sha}")
    assert (gated.code, gated.out.startswith("ACCEPTED")) == (0, True)


def test_a_loosened_gate_is_accepted_by_name(
    project: Project, change: Callable[[str, str], str]
) -> None:
    sha = change(WORSE, GATED.replace("0.9", "0.1"))
    command = ("run", "echo.yaml", "--base", "main")
    assert project.evalkit(*command).code == 4
    # Without the base, the gate of the change decides, and the report says that it first did not.
    shown = " ".join(project.evalkit("show", "latest").out.split())
    assert "When it ran, the result was NEEDS APPROVAL, exit code 4:" in shown
    done = project.evalkit(*command, "--accepted-by", f"ann@{sha}")
    assert done.code == 0
    assert " ".join(done.out.split()).startswith(
        f"ACCEPTED echo: Accepted by ann for commit {sha[:10]}, which loosens its own gate: The threshold holds."
    )
    assert "accepted  threshold exact_match: min 0.9" in done.out


def test_what_could_not_be_decided_is_not_accepted(
    project: Project, change: Callable[[str, str], str]
) -> None:
    sha = change("def answer(text):\n    raise ValueError('no')\n", GATED)
    command = ("run", "echo.yaml", "--base", "main", "--accepted-by", f"ann@{sha}")
    done = project.evalkit(*command, "--format", "json")
    assert (done.code, done.json["acceptance"]) == (3, None)
    assert project.evalkit(*command, "-k", "nothing").code == 5
    for wrong in ("ann", f"ann@{sha[:10]}", f"a b@{sha}", f"@{sha}", ""):
        assert project.evalkit("run", "echo.yaml", "--accepted-by", wrong).code == 2
    # There is nothing to accept in a change that passes.
    sha = change("def answer(text):\n    return text.upper()\n", GATED)
    command = ("run", "echo.yaml", "--base", "main", "--accepted-by", f"ann@{sha}")
    done = project.evalkit(*command, "--format", "json")
    assert (done.code, done.json["acceptance"]) == (0, None)
