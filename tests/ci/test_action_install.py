"""What the install step of the action makes of its input, before pip sees it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.test_repository import write_program
from tests.support.paths import ROOT

ACTION = ROOT / ".github" / "actions" / "evalkit"

PIP = """
import pathlib
import sys

print("pip got", pathlib.Path(sys.argv[-1]).read_text().split("\\n")[:-1])
sys.exit(0)
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The repository of somebody else, with the action as init writes it."""
    folder = tmp_path / "repository"
    shutil.copytree(ACTION, folder / ".github" / "actions" / "evalkit")
    (folder / "pyproject.toml").write_text('[project]\nname = "my-bot"\n')
    return folder


def run(
    repository: Path, install: str, *, installed: bool = True, pip: str = PIP, path: str = ""
) -> tuple[int, str]:
    """Run the step with a pip that prints what it is asked for; return the exit code and the log."""
    site = repository.parent / "site"
    (site / "pip").mkdir(parents=True, exist_ok=True)
    (site / "pip" / "__main__.py").write_text(pip)
    # Other packages may have modules of any name.
    for module in (ACTION / "evalkit_action").glob("*.py"):
        (site / module.name).write_text("raise SystemExit('this is another package')")
    if installed:
        info = site / "evalkit_ci-9.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evalkit-ci\nVersion: 9\n")
    environment = repository.parent / "environment"
    if not environment.exists():
        command = [sys.executable, "-m", "venv", "--without-pip", str(environment)]
        subprocess.run(command, check=True)
        [packages] = environment.glob("lib/python*/site-packages")
        (packages / "site.pth").write_text(str(site))
    done = subprocess.run(
        [environment / "bin" / "python", "-EP", ".github/actions/evalkit/step.py", "install"],
        cwd=repository,
        env={"EVALKIT_INSTALL": install, "PATH": path},
        capture_output=True,
        check=False,
        text=True,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def test_what_pip_is_asked_for(repository: Path) -> None:
    (repository / "my wheels").mkdir()
    (repository / "my wheels/evalkit_ci-9-py3-none-any.whl").touch()
    expected = {
        "evalkit-ci==9": ["evalkit-ci==9"],
        "evalkit-ci @ git+https://h/o/r@c": ["evalkit-ci @ git+https://h/o/r@c"],
        "https://h/o/r.git@main": ["git+https://h/o/r.git@main"],
        "https://h/o/r": ["git+https://h/o/r"],
        "https://h/evalkit_ci-9.tar.gz#sha256=a": ["https://h/evalkit_ci-9.tar.gz#sha256=a"],
        "git@h:o/r.git": ["git+ssh://git@h/o/r.git"],
        "my wheels/evalkit_ci-9-py3-none-any.whl": ["./my wheels/evalkit_ci-9-py3-none-any.whl"],
        "--index-url https://h/simple\n\nevalkit-ci": [
            "--index-url https://h/simple",
            "evalkit-ci",
        ],
    }
    found = {install: run(repository, install) for install in expected}
    assert {code for code, _ in found.values()} == {0}, found
    assert {install: log.splitlines()[0] for install, (_, log) in found.items()} == {
        install: f"pip got {lines}" for install, lines in expected.items()
    }


def test_nothing_but_evalkit_is_installed(repository: Path) -> None:
    refused = {
        "evalkit": "another project",
        "evalkit==0.1.0": "another project",
        ".": "the project 'my-bot', not evalkit-ci",
        "./.github": "no Python project",
        "/nobody/evalkit": "there is no '/nobody/evalkit' on this machine",
        "other-1-py3-none-any.whl": "there is no",
    }
    for install, message in refused.items():
        code, log = run(repository, install)
        assert (code, "pip got" in log) == (2, False), log
        assert log.startswith("::error title=evalkit is not installed::")
        assert message in log


def test_without_an_input_the_repository_is_not_installed(repository: Path) -> None:
    code, log = run(repository, "", installed=False)
    assert (code, "pip got" in log) == (2, False)
    assert "no step before this one installed evalkit" in log
    code, log = run(repository, "", installed=True)
    assert (code, log) == (0, "evalkit-ci 9\n")


def test_a_requirement_that_brings_something_else_fails(repository: Path) -> None:
    code, log = run(repository, "something", installed=False)
    assert code == 2
    assert "did not install evalkit-ci" in log
    # The action as it is used from evalkit's own repository.
    (repository / "pyproject.toml").write_text('[project]\nname = "evalkit-ci"\n')
    code, log = run(repository, "", installed=False)
    assert f"pip got ['{repository}']" in log


def test_uv_reads_no_settings_of_the_repository(repository: Path) -> None:
    write_program(repository.parent / "bin" / "uv", 'echo "uv got $*"')
    path = f"{repository.parent / 'bin'}:/usr/bin:/bin"
    code, log = run(repository, "evalkit-ci==9", pip="raise SystemExit(1)", path=path)
    assert code == 0, log
    assert "uv got pip install --no-config " in log
