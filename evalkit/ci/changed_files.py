"""List the files that a change edits, adds, or deletes, committed or not."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from evalkit.core.git import read_git

_TRACKED = ("ls-files", "-t", "-z")
_UNTRACKED = ("ls-files", "--others", "--exclude-standard", "-z")
_NOT_CHECKED_OUT = b"S "
"""What git puts before a file that a sparse checkout leaves out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangedFiles:
    """The files of a change, by their paths from the top of the repository.

    `top` is the top folder of the working tree, and `tree` has the files of the base, laid out in the same
    way. `untracked` are those of `names` that git neither tracks nor ignores. `left_out` are the files that
    a sparse checkout lacks, so that nothing is known of them.
    """

    top: Path
    tree: Path
    names: tuple[str, ...] = ()
    untracked: Collection[str] = frozenset()
    left_out: Collection[str] = frozenset()


def list_changed_files(top: Path, tree: Path, environ: Mapping[str, str]) -> ChangedFiles:
    """Compare the working tree with the files of the base.

    The contents are compared here, because the index and the attributes of a checkout can hide edits from
    git.
    """
    tracked, left_out = [], set()
    for entry in read_git(top, environ, *_TRACKED).split(b"\0"):
        name = os.fsdecode(entry[2:])
        if entry.startswith(_NOT_CHECKED_OUT) and not os.path.lexists(top / name):
            left_out.add(name)
        elif name:
            tracked.append(name)
    untracked = [
        os.fsdecode(name) for name in read_git(top, environ, *_UNTRACKED).split(b"\0") if name
    ]
    at_base = [
        path.relative_to(tree).as_posix()
        for path in tree.rglob("*")
        if path.is_symlink() or path.is_file()
    ]
    return ChangedFiles(
        top=top,
        tree=tree,
        names=tuple(
            name
            for name in sorted({*at_base, *tracked, *untracked} - left_out)
            if not _is_same(top / name, tree / name)
        ),
        untracked=frozenset(untracked),
        left_out=frozenset(left_out),
    )


def _is_same(path: Path, other: Path) -> bool:
    """Return whether two files, or links, have the same content; a folder is a submodule."""
    try:
        if path.is_symlink() or other.is_symlink():
            return path.is_symlink() and other.is_symlink() and path.readlink() == other.readlink()
        if path.is_dir():
            return True
        return path.is_file() == other.is_file() and (
            not path.is_file() or filecmp.cmp(path, other, shallow=False)
        )
    except OSError:
        return False
