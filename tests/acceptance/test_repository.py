"""What is said twice agrees: README and pyproject, `.ci/run`, the workflows, the guide to contributing."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.paths import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

PINNED_ACTION = re.compile(r"^[\w-]+/[\w./-]+@[0-9a-f]{40}$")
PIN = re.compile(r"uses: (\S+)@(\w+)(?: # (v\d+\.\d+\.\d+))?$", re.MULTILINE)

every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def read_workflow(path: Path) -> dict[Any, Any]:
    workflow = yaml.safe_load(path.read_text())
    assert isinstance(workflow, dict)
    return workflow


def steps_of(workflow: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


def commands_of(name: str) -> list[str]:
    """Every command line in a workflow, continued lines joined."""
    texts = [step["run"] for step in steps_of(read_workflow(workflow_path(name))) if "run" in step]
    return "\n".join(texts).replace("\\\n", " ").splitlines()


def workflow_path(name: str) -> Path:
    return ROOT / ".github" / "workflows" / f"{name}.yml"


def readme_test_steps() -> list[str]:
    """The README's test command, taken apart at `&&`."""
    text = (ROOT / "README.md").read_text()
    lines = [line.strip() for line in text.splitlines() if re.search(r"&& pytest\b", line)]
    assert len(lines) == 1, "README gives one command that installs and passes the tests"
    return lines[0].removeprefix("$ ").split(" && ")


def write_program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_there_is_a_workflow_for_the_tests_one_for_the_gate_and_one_for_frameworks() -> None:
    assert {path.stem for path in WORKFLOWS} == {"ci", "eval", "frameworks"}
    assert "uv pip install --system -e '.[test,frameworks]'" in commands_of("frameworks")


@every_workflow
def test_actions_are_pinned_to_commits(path: Path) -> None:
    uses = [step["uses"] for step in steps_of(read_workflow(path)) if "uses" in step]
    assert uses
    assert [action for action in uses if not PINNED_ACTION.match(action)] == []


def test_a_pin_names_its_version_and_is_the_same_everywhere() -> None:
    pins = [pin for path in WORKFLOWS for pin in PIN.findall(path.read_text())]
    assert all(version for _, _, version in pins)
    assert len(set(pins)) == len({action for action, _, _ in pins})


@every_workflow
def test_a_workflow_may_only_read(path: Path) -> None:
    workflow = read_workflow(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert not [name for name, job in workflow["jobs"].items() if "permissions" in job]
    assert "secrets." not in path.read_text()
    # YAML 1.1 takes the key `on` for true.
    assert "pull_request_target" not in workflow[True]


@every_workflow
def test_no_job_outlives_its_use(path: Path) -> None:
    workflow = read_workflow(path)
    assert workflow["concurrency"]["group"].startswith(path.stem)
    for job in workflow["jobs"].values():
        assert 0 < job["timeout-minutes"] <= 30


@every_workflow
def test_nothing_is_pasted_into_a_shell(path: Path) -> None:
    scripts = [step["run"] for step in steps_of(read_workflow(path)) if "run" in step]
    assert [script for script in scripts if "${{" in script] == []


@every_workflow
def test_the_checkout_leaves_no_token_behind(path: Path) -> None:
    checkouts = [
        step
        for step in steps_of(read_workflow(path))
        if step.get("uses", "").startswith("actions/checkout@")
    ]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_every_python_we_promise_is_tested() -> None:
    tested = read_workflow(workflow_path("ci"))["jobs"]["test"]["strategy"]["matrix"]["python"]
    prefix = "Programming Language :: Python :: 3."
    promised = [
        "3." + line.removeprefix(prefix)
        for line in PROJECT["classifiers"]
        if line.startswith(prefix)
    ]
    assert tested == promised
    assert PROJECT["requires-python"] == f">={tested[0]}"


def test_the_workflow_checks_what_the_readme_checks() -> None:
    commands = commands_of("ci")
    assert [step for step in readme_test_steps()[2:] if step not in commands] == []


def gate_steps() -> list[dict[str, Any]]:
    steps = read_workflow(workflow_path("eval"))["jobs"]["support"]["steps"]
    assert isinstance(steps, list)
    return steps


def test_the_gate_runs_the_shipped_example() -> None:
    [command] = [line for line in commands_of("eval") if "evalkit run" in line]
    words = shlex.split(command)
    assert (ROOT / words[words.index("run") + 1]).is_file()


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_the_gate_workflow_reports_first_and_then_exits_as_evalkit_did(
    tmp_path: Path, code: int
) -> None:
    write_program(tmp_path / "bin" / "evalkit", f"exit {code}")
    environ = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }

    def run_step(step: dict[str, Any], **extra: str) -> int:
        # How the runner starts `shell: bash`.
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = subprocess.run(command, cwd=tmp_path, env={**environ, **extra}, check=False)
        return done.returncode

    [gate] = [step for step in gate_steps() if step.get("id") == "gate"]
    last = gate_steps()[-1]
    assert run_step(gate) == 0
    name, _, value = (tmp_path / "output").read_text().strip().partition("=")
    assert last["env"] == {"EXIT_CODE": f"${{{{ steps.gate.outputs.{name} }}}}"}
    assert run_step(last, EXIT_CODE=value) == code


def test_a_gate_that_could_not_even_start_fails_the_job() -> None:
    command = ["bash", "-c", gate_steps()[-1]["run"]]
    done = subprocess.run(
        command, env={**os.environ, "EXIT_CODE": ""}, capture_output=True, check=False
    )
    assert done.returncode != 0


def test_ci_run_has_the_readme_test_command() -> None:
    environment, activation, *steps = readme_test_steps()
    assert "-m venv" in environment
    assert "activate" in activation
    script = (ROOT / ".ci" / "run").read_text()
    assert "\n".join(("set -x", *steps)) in script


CHECKS = ("pip install -e .[test]", "ruff check .", "ruff format --check .", "mypy", "pytest")
CHECKS_ON_NEWEST = (
    "pip install -e .[test]",
    "pytest tests/worker tests/acceptance/test_readme.py -m not slow",
)


def stub_python(minor: int, made: Path) -> str:
    """A Python that says which one it is, and copies the stubs where an environment is to be made."""
    return f'if [ "$1" = -c ]; then echo {minor}; else mkdir -p "$3" && cp -R "{made}/." "$3"; fi'


class StubMachine:
    """A clone with nothing but `.ci/run`, on a machine where Python makes environments of stubs.

    Each tool in them logs how it was called and succeeds, unless the call is the `broken` one.
    """

    def __init__(
        self, folder: Path, broken: str = "", python: str = "", newest: str = "exit 1"
    ) -> None:
        self.clone = folder / "clone"
        self.log = folder / "log"
        self._bin = folder / "bin"
        (self.clone / ".ci").mkdir(parents=True)
        shutil.copy(ROOT / ".ci" / "run", self.clone / ".ci" / "run")
        made = folder / "made"
        for tool in {check.split()[0] for check in CHECKS}:
            call = f'call="{tool}${{*:+ $*}}"\necho "$call" >> "{self.log}"'
            write_program(made / "bin" / tool, f'{call}\n[ "$call" != "{broken}" ]')
        (made / "bin" / "activate").write_text('PATH="$PWD/.ci/.venv/bin:$PATH"\n')
        for name in ("python", *(f"python3.{minor}" for minor in range(11, 15))):
            write_program(self._bin / name, "exit 1")  # hides what this machine really has
        write_program(self._bin / "python3", python or stub_python(11, made))
        write_program(self._bin / "python3.13", newest.format(python=stub_python(13, made)))

    def run(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.clone / ".ci" / "run"],
            cwd="/",
            env={"PATH": f"{self._bin}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            timeout=30,
        )

    def calls(self) -> tuple[str, ...]:
        return tuple(self.log.read_text().splitlines()) if self.log.exists() else ()


def test_ci_run_makes_a_fresh_environment_and_runs_every_check_in_it(tmp_path: Path) -> None:
    machine = StubMachine(tmp_path)
    leftover = machine.clone / ".ci" / ".venv" / "leftover"
    leftover.parent.mkdir()
    leftover.touch()
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert machine.calls() == CHECKS
    assert not leftover.exists()


@pytest.mark.parametrize("broken", CHECKS)
def test_ci_run_fails_at_the_first_check_that_fails(tmp_path: Path, broken: str) -> None:
    machine = StubMachine(tmp_path, broken=broken)
    assert machine.run().returncode != 0
    assert machine.calls() == CHECKS[: CHECKS.index(broken) + 1]


def test_ci_run_tests_workers_and_examples_on_the_newest_python_as_well(tmp_path: Path) -> None:
    machine = StubMachine(tmp_path, newest="{python}")
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert machine.calls() == CHECKS + CHECKS_ON_NEWEST
    assert (machine.clone / ".ci" / ".venv-newest").is_dir()


def test_ci_run_fails_when_the_newest_python_does(tmp_path: Path) -> None:
    machine = StubMachine(tmp_path, newest="{python}", broken=CHECKS_ON_NEWEST[-1])
    assert machine.run().returncode != 0
    assert machine.calls() == CHECKS + CHECKS_ON_NEWEST


def test_ci_run_says_so_when_there_is_no_python_new_enough(tmp_path: Path) -> None:
    machine = StubMachine(tmp_path, python="exit 1")
    done = machine.run()
    assert done.returncode != 0
    assert "3.11" in done.stderr
    assert machine.calls() == ()


def test_ci_run_is_executable() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md"])
def test_a_guide_names_only_files_that_exist(name: str) -> None:
    text = (ROOT / ".github" / name).read_text()
    quoted = [word for span in re.findall(r"`([^`\n]+)`", text) for word in span.split()]
    paths = [word for word in quoted if re.fullmatch(r"[\w./-]+(/|\.(py|yml|yaml))", word)]
    assert paths
    places = (ROOT, ROOT / "evalkit", ROOT / "evalkit" / "metrics", ROOT / "tests" / "bench")
    made_by_a_run = {".evalkit/runs/"}
    missing = [
        path
        for path in set(paths) - made_by_a_run
        if not any((place / path).exists() for place in places)
    ]
    assert missing == []
