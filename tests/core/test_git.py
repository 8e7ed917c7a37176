"""Git gets what it needs from the environment, and nothing from the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evalkit.core.git import build_git_environment, find_checkout


@pytest.fixture
def top(tmp_path: Path) -> Path:
    made = tmp_path / "checkout"
    (made / ".git").mkdir(parents=True)
    (made / "bin").mkdir()
    return made


def test_variables_are_allowed_by_name_and_credentials_only_for_fetching(top: Path) -> None:
    local = {"HOME": "/h", "LC_ALL": "C", "USER": "u"}
    network = {"https_proxy": "http://p", "SSH_AUTH_SOCK": "/s", "GIT_ASKPASS": "/a"}
    never = {
        "GIT_DIR": "/x",
        "GIT_CONFIG_PARAMETERS": "'a.b'='c'",
        "LD_PRELOAD": "/x.so",
        "OPENAI_API_KEY": "key",
        "GIT_CONFIG_GLOBAL": str(top / "config"),
        "GIT_CONFIG_SYSTEM": "config",
    }
    environ = {**local, **network, **never, "PATH": "/usr/bin"}
    read = build_git_environment(environ, top)
    assert {name: read.get(name) for name in local} == local
    assert not {*network, *never} & set(read)
    fetching = build_git_environment(environ, top, network=True)
    assert {name: fetching.get(name) for name in network} == network
    assert not set(never) & set(fetching)
    assert fetching["GIT_TERMINAL_PROMPT"] == "0"


def test_programs_come_from_absolute_folders_outside_of_the_checkout(
    top: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(top / "bin")
    entries = ["bin", "", ".", str(top), str(top / "bin"), str(tmp_path / "link"), "/usr/bin"]
    found = build_git_environment({"PATH": os.pathsep.join(entries)}, top / "bin")
    assert found["PATH"] == "/usr/bin"


def test_the_checkout_is_the_nearest_folder_with_a_git_folder_or_file(
    top: Path, tmp_path: Path
) -> None:
    assert find_checkout(top / "bin" / "missing") == top
    (top / "bin" / ".git").write_text("gitdir: ../.git/modules/bin\n")
    assert find_checkout(top / "bin") == top / "bin"
    assert find_checkout(tmp_path) is None
