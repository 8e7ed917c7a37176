"""List the files that a change edits, adds, or deletes, committed or not."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from evalkit.core.git import read_git

_EDITS = ("diff", "--no-ext-diff", "--no-renames", "--no-relative", "--name-only", "-z")
_UNTRACKED = ("ls-files", "--others", "--exclude-standard", "-z")


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangedFiles:
    """The files of a change, by their paths from the top of the repository.

    `top` is the top folder of the working tree, and `tree` has the files of the base, laid out in the same
    way. `untracked` are those of `names` that git neither tracks nor ignores.
    """

    top: Path
    tree: Path
    names: tuple[str, ...] = ()
    untracked: Collection[str] = frozenset()


def list_changed_files(
    top: Path, tree: Path, commit: str, environ: Mapping[str, str]
) -> ChangedFiles:
    """Return the files that differ between a commit, `HEAD`, and the working tree."""
    # Both: an index can hide an edit of the working tree from git.
    edited = (*_list(top, environ, *_EDITS, commit), *_list(top, environ, *_EDITS, commit, "HEAD"))
    untracked = _list(top, environ, *_UNTRACKED)
    return ChangedFiles(
        top=top,
        tree=tree,
        names=tuple(dict.fromkeys((*edited, *untracked))),
        untracked=frozenset(untracked),
    )


def _list(top: Path, environ: Mapping[str, str], *arguments: str) -> list[str]:
    found = read_git(top, environ, *arguments).split(b"\0")
    return [os.fsdecode(name) for name in found if name]
