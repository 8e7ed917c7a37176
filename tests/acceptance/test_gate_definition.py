"""No report of a CI build is silent about a gate that the change itself defines."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.conftest import Project

AGENT = "def answer(text):\n    return text.upper()\n"
SET = """
    evalset: echo
    agent: {python: ./agent.py:answer}
    metrics: [exact_match]
    gate: [{metric: exact_match, min: 0.9, test: point}]
    cases:
      - {id: one, input: one, expected: ONE}
      - {id: two, input: two, expected: TWO}
"""
OWN = "gate definition: this checkout's own"


def run_git(project: Project, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-c", "user.name=T", "-c", "user.email=t@example.org", *arguments],
        cwd=project.folder,
        env=project.environ(),
        capture_output=True,
        check=True,
        text=True,
    ).stdout.strip()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of a hub, with a change that does worse and lowers its threshold."""
    folder = tmp_path_factory.mktemp("recorded")
    made = Project(folder / "clone")
    made.folder.mkdir()
    run_git(made, "init", "-q", "-b", "main")
    made.write("agent.py", AGENT)
    made.write("echo.yaml", SET)
    made.write(".gitignore", ".evalkit/\n__pycache__/\n")
    run_git(made, "add", ".")
    run_git(made, "commit", "-qm", "base")
    run_git(made, "clone", "-q", "--bare", ".", "../hub.git")
    run_git(made, "remote", "add", "origin", "../hub.git")
    run_git(made, "fetch", "-q")
    run_git(made, "remote", "set-head", "origin", "main")
    run_git(made, "checkout", "-q", "--detach")
    made.write("agent.py", AGENT.replace("text.upper()", "'ONE'"))
    made.write("echo.yaml", SET.replace("min: 0.9", "min: 0.4"))
    run_git(made, "commit", "-qam", "worse, and looser")
    return folder


@pytest.fixture
def change(recorded: Path, tmp_path: Path) -> Project:
    shutil.copytree(recorded, tmp_path / "work", symlinks=True)
    return Project(tmp_path / "work" / "clone")


def squeeze(text: str) -> str:
    return " ".join(text.split())


def test_where_no_base_is_known_every_report_says_so_at_its_top(change: Project) -> None:
    files = {
        "markdown": "r.md",
        "junit": "r.xml",
        "ctrf": "r.ctrf.json",
        "html": "r.html",
    }
    options = [word for name, path in files.items() for word in (f"--{name}", path)]
    done = change.evalkit("run", "echo.yaml", *options, env={"CI": "true"})
    assert done.code == 0, done
    text = squeeze(done.out)
    assert OWN in text
    assert text.index(OWN) < text.index("agent ./agent.py")
    read = {name: (change.folder / path).read_text() for name, path in files.items()}
    assert OWN in read["markdown"].split("|")[0]
    assert OWN in read["html"].split("<section")[0]
    [found] = ET.fromstring(read["junit"]).iter("property")
    assert (found.get("name"), OWN in (found.get("value") or "")) == ("gate definition", True)
    assert OWN in json.loads(read["ctrf"])["results"]["extra"]["definition"]
    again = change.evalkit("gate", "latest", "--format", "json", env={"CI": "true"})
    assert again.json["definition"]["warning"]
    assert again.json["definition"]["sentence"].startswith(OWN)
    assert "--base REMOTE/BRANCH" in again.json["definition"]["sentence"]
    noted = change.evalkit("gate", "latest", "--format", "github", env={"CI": "true"})
    assert "::warning" in noted.out
    assert OWN in noted.out
    assert OWN in change.evalkit("comment", "latest", env={"CI": "true"}).out
    shown = change.evalkit("show", "latest", env={"GITHUB_BASE_REF": "main"})
    assert f"{OWN}, because this command looks for no base" in squeeze(shown.out)
    # Outside of CI, people edit their own gate.
    assert change.evalkit("gate", "latest", "--format", "json").json["definition"] is None


SYSTEMS: dict[str, dict[str, str]] = {
    "GitHub": {"GITHUB_ACTIONS": "true", "GITHUB_BASE_REF": "main"},
    "Travis": {"TRAVIS": "true", "TRAVIS_PULL_REQUEST": "7", "TRAVIS_BRANCH": "main"},
    "Drone": {"DRONE": "1", "DRONE_BUILD_EVENT": "pull_request", "DRONE_TARGET_BRANCH": "main"},
    "Woodpecker": {
        "CI": "woodpecker",
        "CI_PIPELINE_EVENT": "pull_request",
        "CI_COMMIT_TARGET_BRANCH": "main",
    },
    "CircleCI": {"CIRCLECI": "true", "CIRCLE_PULL_REQUEST": "https://example.org/pull/7"},
    "a merge group": {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "merge_group"},
}


@pytest.mark.parametrize("environ", SYSTEMS.values(), ids=SYSTEMS.keys())
def test_a_looser_gate_waits_for_approval_on_every_system(
    change: Project, environ: dict[str, str]
) -> None:
    run_git(change, "tag", "origin/main")
    if "GITHUB_EVENT_NAME" in environ:
        base = run_git(change, "rev-parse", "HEAD~1")
        environ = {**environ, "GITHUB_REF": f"refs/heads/gh-readonly-queue/main/pr-7-{base}"}
    done = change.evalkit("run", "echo.yaml", "--format", "json", "--require-base", env=environ)
    assert done.code == 4, done
    assert done.json["definition"] is None
    assert "the result is FAIL" in done.json["reason"]


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"CI": "true"}, "the environment of this CI system does not name the target"),
        ({"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push"}, "builds no pull request here"),
        (
            {"GITLAB_CI": "1", "CI_COMMIT_BRANCH": "x", "CI_DEFAULT_BRANCH": "main"},
            "builds a branch",
        ),
        ({}, "no build of a CI system"),
    ],
)
def test_a_base_can_be_required(change: Project, environ: dict[str, str], why: str) -> None:
    done = change.evalkit("run", "echo.yaml", "--require-base", env=environ)
    assert done.code == 2
    assert "--require-base: there is no base" in done.err
    assert why in squeeze(done.err)
    assert change.runs() == []
    named = change.evalkit("base", "--require-base", "--base", "origin/main", env=environ)
    assert (named.code, named.out.strip()) == (0, run_git(change, "rev-parse", "HEAD~1"))


def test_a_default_branch_that_is_missing_is_no_reason_to_stop_but_said(change: Project) -> None:
    environ = {"CIRCLECI": "true", "CIRCLE_PULL_REQUEST": "https://example.org/pull/7"}
    run_git(change, "remote", "remove", "origin")
    done = change.evalkit("run", "echo.yaml", "--format", "json", env=environ)
    assert done.code == 0, done
    assert done.json["definition"]["warning"]
    assert "CircleCI does not name the target branch" in done.json["definition"]["sentence"]
    found = change.evalkit("base", env=environ)
    assert (found.code, found.out, OWN in found.err) == (0, "", True)
    required = change.evalkit("base", "--require-base", env=environ)
    assert (required.code, "Name it: --base" in required.err) == (2, True)


def test_a_push_to_the_main_branch_is_no_reason_for_alarm(change: Project) -> None:
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push", "GITHUB_REF_NAME": "main"}
    done = change.evalkit("run", "echo.yaml", "--format", "json", env=environ)
    assert done.code == 0
    assert done.json["definition"] == {
        "sentence": f"{OWN}; GitHub Actions builds no pull request here",
        "warning": False,
    }
    noted = change.evalkit("gate", "latest", "--format", "github", env=environ)
    annotations = [line for line in noted.out.splitlines() if line.startswith("::")]
    assert not any("gate definition" in line for line in annotations)


def test_a_pull_request_whose_base_is_the_commit_under_test_says_it(change: Project) -> None:
    run_git(change, "push", "-q", "origin", "HEAD:main")
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_BASE_REF": "main"}
    done = change.evalkit("run", "echo.yaml", env=environ)
    assert done.code == 0
    text = squeeze(done.out)
    assert f"{OWN}, because the base origin/main" in text
    assert "is the commit under test: no edit of this change was compared" in text
    assert "Check out the change itself" in text
    done = change.evalkit("gate", "latest", "--require-base", env=environ)
    assert done.code == 2
    assert "is the commit under test" in squeeze(done.err)


def test_the_base_can_be_found_before_an_agent_moves_it(change: Project) -> None:
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_BASE_REF": "main"}
    done = change.evalkit("base", env=environ)
    base = run_git(change, "rev-parse", "HEAD~1")
    assert (done.code, done.out) == (0, f"{base}\n")
    assert f"gate definition: as of origin/main ({base[:10]})" in done.err
    run_git(change, "push", "-q", "origin", "HEAD:main")
    run_git(change, "update-ref", "refs/remotes/origin/main", "HEAD")
    done = change.evalkit("run", "echo.yaml", f"--base={base}", env=environ)
    assert done.code == 4
    assert f"gate as of {base[:10]}; 1 edit" in squeeze(done.out)
    silent = change.evalkit("base", env={"CI": "true"})
    assert (silent.code, silent.out) == (0, "")
    assert OWN in silent.err


def test_a_repository_inside_of_the_checkout_has_no_say(change: Project) -> None:
    """An agent can make one, and a change can turn a folder into a submodule."""
    run_git(change, "checkout", "-q", "main")
    (change.folder / "sets").mkdir()
    run_git(change, "mv", "echo.yaml", "agent.py", "sets")
    run_git(change, "commit", "-qm", "a folder of sets")
    run_git(change, "push", "-q", "origin", "main")
    run_git(change, "checkout", "-q", "--detach")
    inside = Project(change.folder / "sets")
    inside.write("echo.yaml", SET.replace("min: 0.9", "min: 0.4"))
    run_git(inside, "init", "-q", "-b", "main")
    run_git(inside, "add", ".")
    run_git(inside, "commit", "-qm", "inside")
    run_git(inside, "update-ref", "refs/remotes/origin/main", "HEAD")
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_BASE_REF": "main"}
    done = change.evalkit("run", "sets/echo.yaml", env=environ)
    assert done.code == 4, done
    run_git(change, "add", "--all")
    run_git(change, "rm", "-rq", "--cached", "sets")
    inner = run_git(inside, "rev-parse", "HEAD")
    run_git(change, "update-index", "--add", "--cacheinfo", f"160000,{inner},sets")
    run_git(change, "commit", "-qm", "a submodule")
    assert change.evalkit("run", "sets/echo.yaml", env=environ).code == 4
    run_git(change, "push", "-q", "origin", "HEAD:main")
    done = change.evalkit("run", "sets/echo.yaml", env=environ)
    assert (done.code, "is in the submodule sets" in squeeze(done.err)) == (2, True)


def test_an_agent_that_moves_every_ref_does_not_reach_the_next_command(change: Project) -> None:
    change.write(
        "agent.py",
        """
        import subprocess

        def answer(text):
            for ref in ("refs/remotes/origin/main", "refs/tags/origin/main", "refs/heads/main"):
                subprocess.run(["git", "update-ref", ref, "HEAD"], check=False)
            subprocess.run(["git", "remote", "remove", "origin"], check=False)
            return text.upper()
        """,
    )
    run_git(change, "commit", "-qam", "moves refs")
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_BASE_REF": "main"}
    base = change.evalkit("base", env=environ).out.strip()
    for _ in range(2):
        done = change.evalkit("run", "echo.yaml", f"--base={base}", env=environ)
        assert done.code == 4, done
    assert change.evalkit("gate", "latest", f"--base={base}", env=environ).code == 4
