"""What CI has to install to get the evalkit that runs here."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from evalkit import __version__
from evalkit.ci.requirement import describe_origin

COMMIT = "0123456789abcdef0123456789abcdef01234567"
VCS = {"vcs": "git", "commit_id": COMMIT}


@pytest.mark.parametrize(
    ("origin", "requirement"),
    [
        ({}, f"evalkit-ci=={__version__}"),
        (
            {"url": "https://example.org/o/evalkit", "vcs_info": VCS},
            f"evalkit-ci @ git+https://example.org/o/evalkit@{COMMIT}",
        ),
        (
            {"url": "https://user:secret@example.org/o/r", "vcs_info": VCS, "subdirectory": "py"},
            f"evalkit-ci @ git+https://example.org/o/r@{COMMIT}#subdirectory=py",
        ),
        (
            {"url": "ssh://git@example.org/o/r", "vcs_info": VCS},
            f"evalkit-ci @ git+ssh://git@example.org/o/r@{COMMIT}",
        ),
        (
            {
                "url": "https://example.org/evalkit_ci-1-py3-none-any.whl",
                "archive_info": {"hashes": {"sha256": "ab12"}},
            },
            "evalkit-ci @ https://example.org/evalkit_ci-1-py3-none-any.whl#sha256=ab12",
        ),
    ],
)
def test_an_origin_that_ci_can_reach_is_installed_from_there(
    tmp_path: Path, origin: dict[str, Any], requirement: str
) -> None:
    found = describe_origin(origin, tmp_path, {})
    assert (found.text, found.note) == (requirement, "")


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=T", "-c", "user.email=t@example.org")
    command = ["git", *identity, *arguments]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The repository under test."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / ".gitignore").write_text("dist/\n")
    return folder


def test_a_file_in_the_repository_is_installed_from_there_unless_git_ignores_it(
    repository: Path,
) -> None:
    wheel = repository / "vendor" / "evalkit_ci-1-py3-none-any.whl"
    found = describe_origin({"url": wheel.as_uri(), "archive_info": {}}, repository, {})
    assert (found.text, found.note) == ("./vendor/evalkit_ci-1-py3-none-any.whl", "")
    ignored = repository / "dist" / wheel.name
    found = describe_origin({"url": ignored.as_uri(), "archive_info": {}}, repository, {})
    assert found.text == str(ignored)
    assert (found.is_local, "CI does not have" in found.note) == (True, True)


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("git@example.org:o/evalkit.git", "https://example.org/o/evalkit.git"),
        ("https://token@example.org/o/evalkit", "https://example.org/o/evalkit"),
        ("ssh://git@example.org:22/o/evalkit", "ssh://git@example.org:22/o/evalkit"),
        ("/srv/evalkit.git", ""),
    ],
)
def test_of_a_checkout_the_commit_is_installed_once_it_is_pushed(
    tmp_path: Path, repository: Path, remote: str, address: str
) -> None:
    checkout = tmp_path / "evalkit"
    checkout.mkdir()
    git(checkout, "init", "-q")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "one")
    git(checkout, "remote", "add", "upstream", remote)
    origin = {"url": checkout.as_uri(), "dir_info": {"editable": True}}
    local = describe_origin(origin, repository, {})
    assert local.text == str(checkout)
    assert "a folder that CI does not have" in local.note
    commit = git(checkout, "rev-parse", "HEAD")
    git(checkout, "update-ref", "refs/remotes/upstream/main", "HEAD")
    pushed = describe_origin(origin, repository, {})
    assert pushed.text == (f"evalkit-ci @ git+{address}@{commit}" if address else str(checkout))
    assert bool(address) == ("CI installs the commit" in pushed.note)
