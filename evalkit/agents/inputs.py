"""Turn what an agent's process has read into a manifest, and check a manifest of an earlier answer."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evalkit.core.literals import Json
from evalkit.core.serialization import digest
from evalkit.worker.input_log import IGNORED_NAMES, LINK

MAX_HASHED_BYTES = 64 << 20
"""The largest file that an agent reads and whose content is compared."""

MODULE_SUFFIXES = ("", ".py", ".pyc", ".so", ".pyd")

MAX_GAPS = 5


class UnstableInputs(Exception):
    """Files changed while the agent read them; `paths` are their names."""

    def __init__(self, paths: Sequence[str]) -> None:
        super().__init__(*paths)
        self.paths = paths


@dataclass(frozen=True, kw_only=True, slots=True)
class InputManifest:
    """What an answer followed from, besides the request. Paths are relative to the project if possible.

    `files` maps a file to the digest of its content, empty if it did not exist. `looked` maps a path that
    was only looked at to its size or target, empty if there was nothing. `folders` maps a folder
    that was listed to the digest of its names without `own`, the files that the agent itself wrote.
    `modules` maps a folder to the names of modules that were searched there, and `found` to those of its
    entries that could be one of them. `gaps` name what else the answer may depend on.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    looked: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    modules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    found: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    gaps: tuple[str, ...] = ()


class FileDigests:
    """The digests of files; a file that has not changed is read once.

    A file over `max_bytes` is identified by its size and its time of modification.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._known: dict[tuple[str, int, int, int], str] = {}

    def read(self, path: str) -> tuple[list[int] | None, str]:
        """Return size, time of modification and inode of a file, and its digest; None and empty without it."""
        try:
            found = Path(path).stat()
            state = [found.st_size, found.st_mtime_ns, found.st_ino]
            key = (path, *state)
            if key not in self._known:
                self._known[key] = (  # type: ignore[index]  # three numbers
                    f"{found.st_size} bytes of {found.st_mtime_ns}"
                    if found.st_size > self._max_bytes
                    else hashlib.sha256(Path(path).read_bytes()).hexdigest()
                )
            return state, self._known[key]  # type: ignore[index]
        except OSError:
            return None, ""


class InputVerifier:
    """Makes and checks the manifests of one run in a project."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._digests = FileDigests(MAX_HASHED_BYTES)

    def build(self, log: Sequence[Json]) -> InputManifest:
        """Return the manifest of what a process has reported, one mapping after another.

        Raises:
            UnstableInputs: the agent changes what it reads.
        """
        files = self._digest_files(log)
        listed = _join(log, "listed")
        own = tuple(
            sorted(
                self._shorten(path)
                for path in set(_chain(log, "written"))
                if str(Path(path).parent) in listed
            )
        )
        modules: dict[str, set[str]] = {}
        for part in log:
            for folder, names in part.get("searched", {}).items():
                modules.setdefault(self._shorten(folder), set()).update(names)
        return InputManifest(
            files=files,
            looked=self._list_looked(log),
            folders={
                self._shorten(folder): self._digest_names(folder, names, own)
                for folder, names in listed.items()
            },
            own=own,
            modules={folder: tuple(sorted(names)) for folder, names in modules.items()},
            found={folder: self._find_modules(folder, names) for folder, names in modules.items()},
            gaps=_describe_gaps(log),
        )

    def _digest_files(self, log: Sequence[Json]) -> dict[str, str]:
        changed = _chain(log, "changed")
        files = {}
        for path, known in _join(log, "read").items():
            state, content = self._digests.read(path)
            if state != known:
                changed.append(path)
            files[self._shorten(path)] = "" if _is_empty_log(path, state) else content
        if changed:
            raise UnstableInputs(sorted({self._shorten(path) for path in changed}))
        return files

    def _list_looked(self, log: Sequence[Json]) -> dict[str, str]:
        """Return what was at the paths that the agent looked at, without the files that it writes."""
        written = {*_chain(log, "written"), *_join(log, "read")}
        return {
            self._shorten(path): what
            for path, what in _join(log, "looked").items()
            # The agent may have made the file because there was none, as a folder or by a program.
            if path not in written and (what or not os.path.lexists(path))
        }

    def is_current(self, manifest: InputManifest) -> bool:
        """Return whether everything in a manifest is as it was."""
        return (
            all(self._is_unchanged(path, was) for path, was in manifest.files.items())
            and all(
                _look(str(self._expand(path)), was) == was for path, was in manifest.looked.items()
            )
            and all(
                self._digest_names(folder, _list_names(self._expand(folder)), manifest.own) == was
                for folder, was in manifest.folders.items()
            )
            and all(
                self._find_modules(folder, names) == manifest.found.get(folder)
                for folder, names in manifest.modules.items()
            )
        )

    def _is_unchanged(self, path: str, was: str) -> bool:
        state, content = self._digests.read(str(self._expand(path)))
        return content == was or (not was and _is_empty_log(path, state))

    def _shorten(self, path: str) -> str:
        found = Path(path)
        return (
            found.relative_to(self._root).as_posix() if found.is_relative_to(self._root) else path
        )

    def _expand(self, path: str) -> Path:
        return self._root / path

    def _digest_names(self, folder: str, names: Iterable[str], own: Sequence[str]) -> str:
        short = self._shorten(folder)
        prefix = "" if short == "." else f"{short}/"
        return digest(sorted(name for name in names if f"{prefix}{name}" not in own))

    def _find_modules(self, folder: str, names: Iterable[str]) -> tuple[str, ...]:
        wanted = set(names)
        return tuple(
            sorted(
                entry
                for entry in _list_names(self._expand(folder))
                if entry.partition(".")[0] in wanted and Path(entry).suffix in MODULE_SUFFIXES
            )
        )


def _look(path: str, was: str) -> str:
    """Return what is at a path now, in the form in which it was recorded."""
    try:
        if was.startswith(LINK):
            return f"{LINK}{Path(path).readlink()}"
        found = Path(path).stat()
    except OSError:
        return "" if not os.path.lexists(path) else "another kind"
    return f"{found.st_size} bytes" if stat.S_ISREG(found.st_mode) else "another kind"


def _is_empty_log(path: str, state: list[int] | None) -> bool:
    """Return whether a file is the empty log of an SQLite database, which means the same as no log."""
    return path.endswith("-wal") and state is not None and not state[0]


def _chain(log: Sequence[Json], kind: str) -> list[str]:
    return [path for part in log for path in part.get(kind, ())]


def _join(log: Sequence[Json], kind: str) -> dict[str, Json]:
    return {path: value for part in log for path, value in part.get(kind, {}).items()}


def _list_names(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir()} - IGNORED_NAMES
    except OSError:
        return set()


def _describe_gaps(log: Sequence[Json]) -> tuple[str, ...]:
    gaps = [f"what {name} reads" for name in dict.fromkeys(_chain(log, "programs"))]
    gaps += [f"changes of {name}" for name in dict.fromkeys(_chain(log, "hosts"))]
    gaps += [f"what {name} opens" for name in dict.fromkeys(_chain(log, "libraries"))]
    more = [f"{len(gaps) - MAX_GAPS:,} more"] if len(gaps) > MAX_GAPS else []
    return (*gaps[:MAX_GAPS], *more)
