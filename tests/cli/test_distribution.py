"""Another distribution that owns the package is noticed, with the way out."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import evalkit
from evalkit.cli.distribution import INIT_FILE, find_conflict

REMEDY = "pip install --force-reinstall evalkit-ci"


def install(site: Path, name: str, content: str) -> None:
    """Write a package `evalkit` as pip does: its file and the list of files."""
    path = site / INIT_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=")
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "RECORD").write_text(f"{INIT_FILE},sha256={digest.decode()},{len(content)}\n")


def test_an_intact_installation_has_no_conflict(tmp_path: Path) -> None:
    install(tmp_path, "evalkit-ci", "ours")
    (tmp_path / "other-1.0.dist-info").mkdir()
    (tmp_path / "other-1.0.dist-info" / "RECORD").write_text("other/__init__.py,,\n")
    assert find_conflict(tmp_path) is None


def test_a_checkout_has_no_conflict(tmp_path: Path) -> None:
    assert find_conflict(tmp_path) is None


def test_a_second_distribution_is_named_with_the_remedy(tmp_path: Path) -> None:
    install(tmp_path, "evalkit-ci", "ours")
    install(tmp_path, "evalkit", "theirs")
    found = find_conflict(tmp_path) or ""
    assert "another distribution: evalkit. " in found
    assert f"Run: pip uninstall evalkit; {REMEDY}" in found


@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.write_text("x")])
def test_files_that_another_distribution_left_broken_are_noticed(tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    install(tmp_path, "evalkit-ci", "ours")
    change(tmp_path / INIT_FILE)
    assert REMEDY in (find_conflict(tmp_path) or "")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with this package in it, as if installed."""
    source = Path(evalkit.__file__).parent
    shutil.copytree(
        source, tmp_path / "evalkit", ignore=shutil.ignore_patterns("__pycache__", "templates")
    )
    content = (source / "__init__.py").read_text()
    install(tmp_path, "evalkit-ci", content)
    return tmp_path


def run_from(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evalkit", *arguments],
        cwd=site,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_version_says_so(site: Path) -> None:
    assert run_from(site, "--version").stderr == ""
    install(site, "evalkit", (site / INIT_FILE).read_text())
    done = run_from(site, "--version")
    assert done.returncode == 0
    assert done.stdout.endswith("(evalkit-ci)\n")
    assert "pip uninstall evalkit" in done.stderr


def test_a_foreign_package_in_our_place_is_no_traceback(site: Path) -> None:
    install(site, "evalkit", "answer = 42\n")
    done = run_from(site, "run", "set.yaml")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"pip uninstall evalkit; {REMEDY}" in done.stderr


def test_a_module_that_is_gone_is_no_traceback_while_a_command_loads(site: Path) -> None:
    install(site, "evalkit", (site / INIT_FILE).read_text())
    (site / "evalkit" / "commands" / "validate.py").unlink()
    done = run_from(site, "validate", "set.yaml")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert REMEDY in done.stderr


def test_a_package_in_ruins_is_no_traceback(site: Path) -> None:
    shutil.rmtree(site / "evalkit" / "cli")
    done = run_from(site, "--version")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert REMEDY in done.stderr


def test_a_missing_library_is_a_traceback_as_ever(site: Path) -> None:
    (site / "typer.py").write_text("import not_installed_anywhere\n")
    done = run_from(site, "--version")
    assert done.returncode == 1
    assert "No module named 'not_installed_anywhere'" in done.stderr
