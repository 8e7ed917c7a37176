"""What init writes installs evalkit and runs the set, in a fresh checkout with a fresh environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from evalkit import __version__
from tests.conftest import Project
from tests.support.fresh_environment import WHEEL, build_wheel, install, make_environment
from tests.support.workflow_runner import Runner

OFFLINE = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Stranger:
    """Somebody with a repository, a place to push it, and evalkit installed from a wheel."""

    repository: Project
    programs: Path
    fresh: Path

    def run(self, *command: str, folder: str = ".") -> str:
        """Type a command in a folder of the repository."""
        done = subprocess.run(
            command,
            cwd=self.repository.folder / folder,
            env=self.environ(self.programs),
            capture_output=True,
            check=False,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def environ(self, programs: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment with the programs first, and without a network for pip."""
        identity = {
            **{f"GIT_{who}_NAME": "T" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "t@example.org" for who in ("AUTHOR", "COMMITTER")},
        }
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        return self.repository.environ({**identity, **OFFLINE, "PATH": path, **(extra or {})})

    def next_command(self, out: str) -> str:
        [command] = out.partition("Next:\n")[2].strip().splitlines()
        return command.strip()

    def propose(self, file: str, old: str, new: str, folder: Path) -> Path:
        """Push main, change a file on a branch, and return a clone of the branch as CI has it."""
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", "base")
        hub, clone = folder / "hub.git", folder / "clone"
        self.run("git", "clone", "-q", "--bare", ".", str(hub))
        self.run("git", "checkout", "-qb", "change")
        path = self.repository.folder / file
        path.write_text(path.read_text().replace(old, new))
        self.run("git", "commit", "-qam", "change")
        self.run("git", "push", "-q", str(hub), "change")
        self.run("git", "clone", "-q", "--branch", "change", str(hub), str(clone))
        return clone


@dataclass(frozen=True)
class Machines:
    """The environment of the user, with evalkit from a wheel, and that of CI, with nothing but pip."""

    wheel: Path
    user: Path
    fresh: Path

    def clear(self) -> None:
        """Remove evalkit from the environment of CI."""
        for path in self.fresh.parent.glob("lib/python*/site-packages/evalkit*"):
            shutil.rmtree(path)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Machines:
    """Both environments, and the wheel in the repository that the first test uses."""
    folder = tmp_path_factory.mktemp("machines")
    wheel = build_wheel(folder / "repository" / "vendor")
    made = Machines(
        wheel,
        make_environment(folder / "user", pip=False),
        make_environment(folder / "fresh"),
    )
    install(made.fresh, made.user, str(wheel))
    return made


def settle(machines: Machines, folder: Path) -> Stranger:
    """Return somebody who has a bot in a folder that is a project of its own."""
    machines.clear()
    repository = Project(folder)
    repository.write("services/my bot/bot.py", "def reply(text):\n    return f'I hear: {text}'\n")
    repository.write("services/my bot/evalkit.yaml", "judge: lexical\n")
    repository.write("services/my bot/requirements.txt", "")
    made = Stranger(repository, machines.user, machines.fresh)
    made.run("git", "init", "-q", "-b", "main")
    return made


def test_the_workflow_of_init_runs_in_a_fresh_checkout(machines: Machines, tmp_path: Path) -> None:
    stranger = settle(machines, machines.wheel.parents[1])
    folder = "services/my bot"
    out = stranger.run("evalkit", "init", "--agent", "./bot.py:reply", folder=folder)
    assert f"CI installs ./vendor/{WHEEL}" in out
    stranger.run("sh", "-c", stranger.next_command(out), folder=folder)
    clone = stranger.propose(f"{folder}/bot.py", "f'I hear: {text}'", "''", tmp_path)
    variables = {"GITHUB_ACTIONS": "true", "GITHUB_BASE_REF": "main", "CI": "true"}
    runner = Runner(clone, stranger.environ(stranger.fresh, variables), tmp_path)
    assert runner.run_workflow("evalkit.yml") == 1, runner.log
    assert "evalkit-ci " in runner.log
    assert f"::error file={folder}/evalsets/first.yaml,line=" in runner.log
    runs, reports = runner.uploads["evalkit"]
    [report] = reports.glob("*/report.json")
    read = json.loads(report.read_text())
    assert read["outcome"] == "fail"
    [run] = [each["report"] for each in read["runs"]]
    assert (runs / run["run"]["id"] / "run.json").is_file()
    [junit] = reports.glob("*/junit.xml")
    assert {case.get("file") for case in ET.parse(junit).iter("testcase")} == {
        f"{folder}/evalsets/first.yaml"
    }
    # The two workflows for forks take the place of the one, and run as well.
    stranger.run("git", "checkout", "-q", "main")
    out = stranger.run("evalkit", "init", "--forks")
    assert "Removed:\n  .github/workflows/evalkit.yml" in out
    stranger.run("sh", "-c", stranger.next_command(out))
    forked = Runner(stranger.repository.folder, stranger.environ(stranger.fresh), tmp_path)
    assert forked.run_workflow("evalkit-answers.yml") == 0, forked.log
    [answers] = forked.uploads["evalkit-answers"]
    answers.rename(tmp_path / "answers")
    assert forked.run_workflow("evalkit-gate.yml") == 0, forked.log


def test_with_uvx_nothing_is_installed_and_the_next_command_works(
    machines: Machines, tmp_path: Path
) -> None:
    stranger = settle(machines, tmp_path / "repository")
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed")
    [packages] = stranger.fresh.parent.glob("lib/python*/site-packages")
    wheel = machines.wheel
    # The wheel has no requirements, so that uv asks no index; what it needs is on PYTHONPATH.
    variables = {
        "PYTHONPATH": str(packages),
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "UV_OFFLINE": "1",
        "UV_PYTHON": sys.executable,
    }

    def run(command: str) -> str:
        environ = stranger.environ(Path(uv).parent, variables)
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=stranger.repository.folder,
            env=environ,
            capture_output=True,
            check=False,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert run(f"uvx --from {wheel} evalkit --version") == f"evalkit {__version__} (evalkit-ci)\n"
    out = run(f"uvx --from {wheel} evalkit init")
    command = stranger.next_command(out)
    assert command.startswith(f"uvx --from {wheel} evalkit baseline ")
    assert "\nPASS" in run(command)


def test_the_job_for_gitlab_runs_in_a_fresh_checkout(machines: Machines, tmp_path: Path) -> None:
    stranger = settle(machines, tmp_path / "repository")
    stranger.run("git", "remote", "add", "origin", "https://gitlab.com/o/r.git")
    folder = "services/my bot"
    out = stranger.run("evalkit", "init", "--agent", "./bot.py:reply", folder=folder)
    # Only this machine has the wheel, which is in no repository of this test.
    assert "a file that CI does not have" in " ".join(out.split())
    stranger.run("sh", "-c", stranger.next_command(out), folder=folder)
    clone = stranger.propose(f"{folder}/bot.py", "I hear", "You said", tmp_path)
    jobs = yaml.safe_load((clone / ".gitlab-ci.yml").read_text())
    job, comment = jobs["evals"], jobs["evalkit-comment"]
    lines = [line for line in (*job["before_script"], *job["script"]) if "apt-get" not in line]
    variables = {name: str(value) for name, value in job["variables"].items()}
    variables |= {
        "GITLAB_CI": "true",
        "CI": "true",
        "CI_PIPELINE_SOURCE": "merge_request_event",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
    }
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", "\n".join(lines)],
        cwd=clone,
        env=stranger.environ(stranger.fresh, variables),
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (clone / job["artifacts"]["reports"]["junit"]).is_file()
    assert all((clone / path).is_dir() for path in job["artifacts"]["paths"])
    # The comment needs a token, and says so before it installs anything.
    first, *others = comment["script"]
    [post] = [line for line in others if line.startswith("evalkit ")]
    [change] = [line for line in others if line.startswith("cd ")]
    for lines, told in (
        ([first, "exit 9"], "GITLAB_TOKEN is not set"),
        ([change, post.replace("--post --only-changes", "")], "## PASS: `first`"),
    ):
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", "\n".join(lines)],
            cwd=clone,
            env=stranger.environ(stranger.fresh, variables),
            capture_output=True,
            check=False,
            text=True,
        )
        assert (done.returncode, told in done.stdout) == (0, True), done.stdout + done.stderr
