"""Compute the digest of the files in a project that a program of it may read."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path

from evalkit.agents.inputs import FileDigests
from evalkit.core.git import read_git
from evalkit.core.serialization import digest

SKIPPED_FOLDERS = frozenset({".evalkit", ".git", "__pycache__", "node_modules", "site-packages"})


MAX_FILES = 20_000
"""How many files of a project are covered."""

MAX_HASHED_BYTES = 4 << 20
"""The largest file of a project whose content is compared: the program may read none of them."""


class ProjectFiles:
    """The files of a project, as they were at the start of a run, without the folders that git ignores.

    Without git, these are all files. `excluded` are files and folders that the program does not read.
    """

    def __init__(self, root: Path, environ: Mapping[str, str], excluded: Collection[Path]) -> None:
        self._root = root
        self._environ = environ
        self._excluded = tuple(f"{path.resolve()}/" for path in excluded)
        self._digests = FileDigests(MAX_HASHED_BYTES)
        self._before = self._read()

    @property
    def is_complete(self) -> bool:
        """Whether the project has fewer files than are covered."""
        return len(self._before) < MAX_FILES

    def digest(self, without: Collection[str]) -> str:
        """Return the digest of names and contents at the start of the run."""
        return digest(sorted(item for item in self._before.items() if item[0] not in without))

    def list_changed(self) -> list[str]:
        """Return the files that have changed or appeared since the start of the run.

        Files that git tracks are left out: it is people who edit them.
        """
        tracked = set(self._list_by_git("--cached"))
        now = self._read()
        changed = (name for name, content in now.items() if self._before.get(name) != content)
        return sorted(name for name in changed if name not in tracked)

    def _read(self) -> dict[str, str]:
        names = islice(self._list(), MAX_FILES)
        return {name: self._digests.read(str(self._root / name))[1] for name in names}

    def _list(self) -> Iterator[str]:
        known = self._list_by_git("--cached", "--others", "--exclude-standard")
        if known:
            # Single files, such as `.env`, but no folder of them, such as `node_modules/`.
            ignored = self._list_by_git(
                "--others", "--ignored", "--exclude-standard", "--directory"
            )
            known += [name for name in ignored if not name.endswith("/")]
        for name in known or self._walk():
            path = self._root / name
            is_skipped = SKIPPED_FOLDERS.intersection(name.split("/"))
            if not (is_skipped or f"{path}/".startswith(self._excluded)) and path.is_file():
                yield name

    def _list_by_git(self, *options: str) -> list[str]:
        listed = read_git(self._root, self._environ, "ls-files", "-z", *options)
        return [os.fsdecode(name) for name in listed.split(b"\0") if name]

    def _walk(self) -> Iterator[str]:
        for folder, below, names in os.walk(self._root):
            below[:] = sorted(name for name in below if name not in SKIPPED_FOLDERS)
            for name in sorted(names):
                yield (Path(folder) / name).relative_to(self._root).as_posix()
