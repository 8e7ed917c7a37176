"""What every test of the command line needs: a project folder and evalkit as a user types it."""

from __future__ import annotations

import compileall
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support.evalkit_client import SERVER
from tests.support.paths import ROOT

pytest_plugins = ["tests.support.browser"]

# Workers of a build inherit this; the variable of the CI system itself is left out below.
if "CI" in os.environ:
    os.environ["TESTS_OF_A_BUILD"] = "1"

# A shared machine is at times too slow for the limits, which are no property of the code. In a build,
# every run tries the same examples, so that a change is not refused for what another one did.
settings.register_profile(
    "evalkit",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="TESTS_OF_A_BUILD" in os.environ,
)
settings.load_profile("evalkit")

LEFT_OUT = re.compile(
    r"^(EVALKIT|GITHUB|CI$|CI_|GITLAB|CIRCLE|TRAVIS|DRONE|BUILDKITE|BITBUCKET|JENKINS|CHANGE_|TF_BUILD"
    r"|SYSTEM_|APPVEYOR|CF_|SEMAPHORE|TEAMCITY"
    r"|COLUMNS|LINES|FORCE_COLOR|NO_COLOR|OPENAI|ANTHROPIC|GIT_)"
)

for name in [name for name in os.environ if LEFT_OUT.match(name)]:
    # What tests call in this process behaves the same in every CI system.
    if not name.startswith("EVALKIT_UPDATE_"):
        del os.environ[name]


def pytest_configure() -> None:
    """Compile evalkit once, so that no process has to that a test starts.

    Python would do so by itself, unless it is told to write no bytecode.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        compileall.compile_dir(ROOT / "evalkit", quiet=2)


@dataclass(frozen=True, kw_only=True)
class Done:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout as the one strict JSON document it has to be."""
        return json.loads(self.out, parse_constant=_refuse)


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


@dataclass(frozen=True)
class Project:
    """A folder with an eval set in it, and evalkit run there."""

    folder: Path

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file; text may be indented as the test that holds it."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(dedent(content).lstrip("\n"))
        return path

    def environ(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """This process's environment without what would change how evalkit behaves."""
        kept = {name: value for name, value in os.environ.items() if not LEFT_OUT.match(name)}
        return {**kept, **(extra or {})}

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs evalkit."""
        return [sys.executable, "-m", "evalkit", *arguments]

    def evalkit(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        timeout_s: float = 60,
        preexec: Callable[[], None] | None = None,
    ) -> Done:
        """Run evalkit to its end, and hold it to what must be true of every run."""
        done = SERVER.run(arguments, self.folder, self.environ(env), timeout_s, preexec)
        out, err = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in err or done.returncode == 70, err
        assert done.returncode in {0, 1, 2, 3, 4, 5, 70, 130, 143}, (done.returncode, err)
        assert "\x1b" not in out + err, "colour without a terminal"
        strays = [path for path in self.folder.rglob(".*") if re.match(r"\..+\.\w{8}$", path.name)]
        assert not strays, "temporary files are left"
        return Done(code=done.returncode, out=out, err=err)

    def runs(self) -> list[Path]:
        """The folders of the stored runs, oldest first."""
        headers = (self.folder / ".evalkit" / "runs").glob("*/run.json")
        return [path.parent for path in sorted(headers, key=lambda path: path.stat().st_mtime_ns)]

    def rows(self, run: Path | None = None) -> list[dict[str, Any]]:
        """The stored trials of a run, of the newest one unless told otherwise."""
        lines = ((run or self.runs()[-1]) / "trials.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


ECHO_AGENT = """
    def answer(text):
        return text.upper()
"""

ECHO_SET = """
    evalset: echo
    agent: {python: ./agent.py:answer}
    metrics: [exact_match]
    cases:
      - {id: one, input: one, expected: ONE}
      - {id: two, input: two, expected: TWO}
      - {id: three, input: three, expected: THREE}
"""


@pytest.fixture(autouse=True, scope="session")
def _server() -> Iterator[None]:
    yield
    SERVER.close()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose agent answers in capitals, and a set that it passes."""
    made = Project(tmp_path / "project")
    made.folder.mkdir()
    made.write("agent.py", ECHO_AGENT)
    made.write("echo.yaml", ECHO_SET)
    return made


@pytest.fixture
def git(project: Project) -> Callable[..., str]:
    """Git in the project, as somebody with a name."""

    def run_git(*arguments: str) -> str:
        identity: Sequence[str] = ("-c", "user.name=T", "-c", "user.email=t@example.org")
        return subprocess.run(
            ["git", *identity, *arguments],
            cwd=project.folder,
            env=project.environ(),
            capture_output=True,
            check=True,
            text=True,
        ).stdout

    return run_git
