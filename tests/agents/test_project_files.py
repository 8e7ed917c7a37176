"""Which files of a project a program of it may read."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from evalkit.agents import project_files
from evalkit.agents.project_files import ProjectFiles


def digest_of(root: Path) -> str:
    return ProjectFiles(root, os.environ, [root / "set.yaml", root / "baselines"]).digest(["x.log"])


@pytest.mark.parametrize("has_git", [True, False])
def test_every_file_counts_that_the_program_may_read(tmp_path: Path, has_git: bool) -> None:
    if has_git:
        subprocess.run(["git", "init", "-q", "."], cwd=tmp_path, check=True)
        (tmp_path / ".gitignore").write_text("*.secret\nout/\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "baselines").mkdir()
    before = digest_of(tmp_path)
    for name in ("set.yaml", "baselines/set.jsonl", "x.log"):
        (tmp_path / name).write_text("1")
    assert digest_of(tmp_path) == before
    (tmp_path / "k.secret").write_text("1")
    assert digest_of(tmp_path) != before
    before = digest_of(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.txt").write_text("1")
    assert (digest_of(tmp_path) == before) is has_git
    before = digest_of(tmp_path)
    (tmp_path / "lib" / "a b.txt").write_text("1")
    assert digest_of(tmp_path) != before
    before = digest_of(tmp_path)
    (tmp_path / "lib" / "a b.txt").write_text("2")
    assert digest_of(tmp_path) != before


def test_what_changes_during_a_run_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q", "."], cwd=tmp_path, check=True)
    (tmp_path / "tracked.txt").write_text("1")
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    (tmp_path / "facts.txt").write_text("1")
    files = ProjectFiles(tmp_path, os.environ, [])
    assert files.is_complete
    assert files.list_changed() == []
    (tmp_path / "tracked.txt").write_text("22")
    (tmp_path / "facts.txt").write_text("22")
    (tmp_path / "calls.log").write_text("1")
    assert files.list_changed() == ["calls.log", "facts.txt"]
    monkeypatch.setattr(project_files, "MAX_FILES", 2)
    assert not ProjectFiles(tmp_path, os.environ, []).is_complete
