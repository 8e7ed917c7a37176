"""The root folder of a project, and what git knows about the code in it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.core.git import find_checkout, read_git

_REMOTE_HOST = re.compile(
    r"(?:\w+://(?:[^@/]*@)?([A-Za-z0-9.-]+)[:/]|(?:[^@/:]*@)?([A-Za-z0-9.-]+):(?!//))"
)
"""The host of a URL, or of `host:path`. As in git, a path with a slash before any colon is local."""

_DIFF = ("diff", "HEAD", "--no-ext-diff", "--no-textconv", "--no-color")
_STORE = ":(exclude,top,glob)**/.evalkit/**"
_BASELINES = ":(top,glob)**/baselines/*.jsonl"
_MAX_HEADER_BYTES = 1_000_000

BASELINE_MARK = b'"schema":"evalkit.baseline/'
"""What the first line of a baseline contains."""

PROJECT_MARKERS = ("evalkit.yaml", ".git", ".evalkit")


def find_project_root(start: Path, cwd: Path) -> Path:
    """Return the nearest folder at or above `start` that contains a project marker.

    Without any marker it is `cwd` if that contains `start`, else `start` itself.
    """
    # Unlike their Path methods, realpath and exists do not raise for link loops or denied access.
    start, cwd = Path(os.path.realpath(start)), Path(os.path.realpath(cwd))
    for folder in (start, *start.parents):
        if any(os.path.exists(folder / mark) for mark in PROJECT_MARKERS):  # noqa: PTH110
            return folder
    return cwd if start.is_relative_to(cwd) else start


@dataclass(frozen=True, kw_only=True, slots=True)
class GitState:
    """The commit checked out, and whether tracked files differ from it, other than evalkit's own."""

    commit: str = ""
    dirty: bool = False

    @property
    def version(self) -> str:
        """The agent's version if the user gives none."""
        if not self.commit:
            return "unversioned"
        return self.commit[:10] + ("+dirty" if self.dirty else "")


def read_git_state(folder: Path, environ: Mapping[str, str]) -> GitState:
    """Return a folder's git state; empty outside of a repository or without git."""
    commit = read_git(folder, environ, "rev-parse", "--verify", "HEAD").decode().strip()
    if not commit:
        return GitState()
    return GitState(commit=commit, dirty=bool(digest_edits(folder, environ, ())))


def digest_edits(folder: Path, environ: Mapping[str, str], ignored: Sequence[str]) -> str:
    """Return a digest of all uncommitted edits of tracked files, except `ignored` ones; empty if none.

    `ignored` are pathspecs that start from `folder`. What evalkit itself writes, the store and the
    baselines, is not part of the code under test, so it never counts.
    """
    excluded = [":/", _STORE, *(f":(exclude){each}" for each in ignored)]
    difference = read_git(folder, environ, *_DIFF, "--binary", "--", *excluded)
    if difference and (baselines := _list_edited_baselines(folder, environ)):
        excluded += (f":(exclude,top,literal){each}" for each in baselines)
        difference = read_git(folder, environ, *_DIFF, "--binary", "--", *excluded)
    return hashlib.sha256(difference).hexdigest()[:16] if difference else ""


def _list_edited_baselines(folder: Path, environ: Mapping[str, str]) -> list[str]:
    """Return the paths, from the top of the checkout, of the baselines that differ from HEAD.

    Another file could have such a name, so it has to begin as a baseline does.
    """
    top = find_checkout(folder)
    listed = read_git(folder, environ, *_DIFF, "--name-only", "-z", "--", _BASELINES)
    names = [os.fsdecode(name) for name in listed.split(b"\0") if name]
    return [name for name in names if top is not None and _is_baseline(top / name)]


def _is_baseline(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return BASELINE_MARK in stream.readline(_MAX_HEADER_BYTES)
    except OSError:
        return False


def read_git_user(folder: Path, environ: Mapping[str, str]) -> str:
    """Return the author name that git would use for a commit; empty if none is configured."""
    return read_git(folder, environ, "config", "user.name").decode(errors="replace").strip()


def read_git_remote(folder: Path, environ: Mapping[str, str]) -> str:
    """Return the host name of the repository's remote; empty if there is none.

    Understands both URL forms: https://host/path and user@host:path.
    """
    if not folder.is_dir():
        return ""
    names = read_git(folder, environ, "remote").decode(errors="replace").split()
    if not names:
        return ""
    name = "origin" if "origin" in names else names[0]
    url = read_git(folder, environ, "remote", "get-url", name).decode(errors="replace").strip()
    match = _REMOTE_HOST.match(url)
    return (match[1] or match[2]).lower() if match else ""


def relative_to_root(root: Path, path: Path) -> str:
    """Return a path in its stored form: relative if it is below `root`, so that all clones agree."""
    resolved = path.resolve()
    return resolved.relative_to(root).as_posix() if resolved.is_relative_to(root) else str(resolved)
