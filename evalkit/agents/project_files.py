"""Compute the digest of the files in a project that a program of it may read."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from evalkit.agents.inputs import FileDigests
from evalkit.core.git import read_git
from evalkit.core.serialization import digest

SKIPPED_FOLDERS = frozenset({".evalkit", ".git", "__pycache__", "node_modules", "site-packages"})


class ProjectFiles:
    """The files of a project that git tracks or would track, as they were at the start of a run.

    Without git, these are all files. `excluded` are files and folders that the program does not read.
    """

    def __init__(self, root: Path, environ: Mapping[str, str], excluded: Collection[Path]) -> None:
        self._root = root
        self._environ = environ
        self._excluded = tuple(f"{path.resolve()}/" for path in excluded)
        self._digests = FileDigests()
        self._before = self._read()

    def digest(self, without: Collection[str]) -> str:
        """Return the digest of names and contents at the start of the run."""
        return digest(sorted(item for item in self._before.items() if item[0] not in without))

    def list_changed(self) -> list[str]:
        """Return the files that have changed or appeared since the start of the run."""
        now = self._read()
        return sorted(name for name, content in now.items() if self._before.get(name) != content)

    def _read(self) -> dict[str, str]:
        return {name: self._digests.read(str(self._root / name))[1] for name in self._list()}

    def _list(self) -> Iterator[str]:
        listed = read_git(
            self._root,
            self._environ,
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        )
        names = [os.fsdecode(name) for name in listed.split(b"\0") if name] or self._walk()
        for name in names:
            path = self._root / name
            is_skipped = SKIPPED_FOLDERS.intersection(name.split("/"))
            if not (is_skipped or f"{path}/".startswith(self._excluded)) and path.is_file():
                yield name

    def _walk(self) -> Iterator[str]:
        for folder, below, names in os.walk(self._root):
            below[:] = [name for name in below if name not in SKIPPED_FOLDERS]
            for name in names:
                yield (Path(folder) / name).relative_to(self._root).as_posix()
