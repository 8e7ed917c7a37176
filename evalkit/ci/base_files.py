"""Write the files of a base commit into a temporary folder, byte for byte as they are committed."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evalkit.ci.borrowed_objects import Repository, TreeEntry
from evalkit.ci.commits import Commit, find_base_commit, open_checkout
from evalkit.ci.systems import BaseRef
from evalkit.core.context import Context
from evalkit.core.errors import Interrupted, StoreError

_LINK, _SUBMODULE = "120000", "160000"
_MAX_POINTER_BYTES = 1024
_LFS_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:.*\n)*?oid sha256:([0-9a-f]{64})\nsize (\d+)\n"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkout:
    """The files of a commit in a temporary folder `tree`, laid out as in the repository's top folder.

    The files of `submodules` are missing there.
    """

    repository: Repository
    commit: Commit
    tree: Path
    submodules: Sequence[str] = ()

    def locate(self, path: Path) -> Path:
        """Return the path in this checkout of a file in the working tree; it need not exist."""
        top = self.repository.top
        absolute = Path(os.path.realpath(path.parent)) / path.name
        # Prefer the path as the user wrote it: a symlink must not lead to another file's history.
        lexical = Path(os.path.abspath(path))  # noqa: PTH100 - does not follow symlinks
        place = lexical if lexical.is_relative_to(top) else absolute
        return self.tree / (place.relative_to(top) if place.is_relative_to(top) else path.name)

    def list_submodules(self) -> str:
        """Return the first paths of submodules in the commit, whose files are missing here."""
        return ", ".join(self.submodules[:5])

    def find_submodule(self, path: Path) -> str:
        """Return the submodule of the commit that a file of the working tree is in; empty if none."""
        place = self.locate(path).relative_to(self.tree)
        return next((name for name in self.submodules if place.is_relative_to(name)), "")

    def list_committed(self, pattern: str) -> list[str]:
        """Return the paths that match a pathspec and that HEAD changes, adds, or removes."""
        changed = self.repository.query(
            *("diff-tree", "-r", "--name-only", "--no-renames", "--no-textconv"),
            *(self.commit.sha, self.repository.head, "--", pattern),
        )
        return changed.splitlines()


@contextmanager
def checkout(ref: BaseRef, path: Path, context: Context) -> Iterator[Checkout]:
    """Yield the files of the base commit that `ref` leads to, in the repository of an eval set.

    Delete the files afterwards, and leave the checkout unchanged. No hook, filter, or attribute applies.

    Raises:
        InvalidInput: there is no repository, or the base commit is missing and cannot be fetched.
        StoreError: a file cannot be read or written.
    """
    with _temporary_folder() as temporary:
        repository = open_checkout(path, temporary / "git", ref, context)
        commit = find_base_commit(repository, ref, context.say)
        yield _write_tree(repository, commit, temporary / "tree")


@contextmanager
def borrow_repository(ref: BaseRef, path: Path, context: Context) -> Iterator[Repository]:
    """Yield the repository of an eval set, to read several of its commits; `ref` is for messages.

    Raises:
        InvalidInput: there is no repository.
        StoreError: the private git folder cannot be written.
    """
    with _temporary_folder() as temporary:
        yield open_checkout(path, temporary / "git", ref, context)


@contextmanager
def checkout_commit(repository: Repository, commit: Commit) -> Iterator[Checkout]:
    """Yield the files of one commit, and delete them afterwards.

    Raises:
        StoreError: a file cannot be read or written.
    """
    with _temporary_folder() as temporary:
        yield _write_tree(repository, commit, temporary / "tree")


def _write_tree(repository: Repository, commit: Commit, tree: Path) -> Checkout:
    # The marker ends the search for the project's root here, not in a folder above.
    (tree / ".evalkit").mkdir(parents=True)
    entries = repository.read_tree(commit.sha)
    try:
        _write_files(repository, entries, tree)
    except OSError as error:
        raise StoreError(
            f"the files of commit {commit.sha[:10]} could not be written: {error.strerror}."
        ) from error
    return Checkout(
        repository=repository,
        commit=commit,
        tree=tree,
        submodules=[each.path for each in entries if each.mode == _SUBMODULE],
    )


def find_commit(ref: BaseRef, path: Path, context: Context) -> Commit:
    """Return the base commit that `ref` leads to.

    Raises:
        InvalidInput: as `checkout`.
    """
    with _temporary_folder() as temporary:
        repository = open_checkout(path, temporary / "git", ref, context)
        return find_base_commit(repository, ref, context.say)


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    with (
        _interrupt_on_signals(),
        tempfile.TemporaryDirectory(prefix="evalkit-base-", ignore_cleanup_errors=True) as made,
    ):
        yield Path(os.path.realpath(made))


def _write_files(repository: Repository, entries: Sequence[TreeEntry], tree: Path) -> None:
    """Write files, then links, so that no file is written through a link."""
    places: dict[str, list[TreeEntry]] = defaultdict(list)
    for entry in entries:
        if entry.mode != _SUBMODULE and _is_safe(entry.path):
            places[entry.sha].append(entry)
    links: list[tuple[Path, bytes]] = []
    for found in repository.read_objects(list(places)):
        for entry in places[found.sha]:
            target = tree / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            if entry.mode == _LINK:
                links.append((target, found.content))
                continue
            target.write_bytes(_read_large_file(repository, entry.path, found.content))
            if entry.mode == "100755":
                target.chmod(0o755)
    for target, content in links:
        target.symlink_to(os.fsdecode(content))


def _is_safe(path: str) -> bool:
    """Return whether a committed path stays in the folder, and leaves the marker of the root alone."""
    parts = path.split("/")
    return path != ".evalkit" and not any(
        part in ("", ".", "..") or part.lower() == ".git" for part in parts
    )


def _read_large_file(repository: Repository, path: str, content: bytes) -> bytes:
    """Return the content that a pointer of Git LFS names, if a file here has it; else the pointer.

    No filter runs: a file counts if its digest is the one in the pointer.
    """
    match = _LFS_POINTER.fullmatch(content) if len(content) <= _MAX_POINTER_BYTES else None
    if match is None:
        return content
    oid, size = match[1].decode(), int(match[2])
    stored = repository.common / "lfs" / "objects" / oid[:2] / oid[2:4] / oid
    for place in (repository.top / path, stored):
        if place.is_file() and place.stat().st_size == size:
            found = place.read_bytes()
            if hashlib.sha256(found).hexdigest() == oid:
                return found
    return content


@contextmanager
def _interrupt_on_signals() -> Iterator[None]:
    """Raise an exception when a CI system cancels the job, so that the temporary folder is deleted.

    A run sets its own signal handlers and restores the previous ones, as this function does.
    """

    def unwind(number: int, _: object) -> None:
        raise Interrupted("interrupted; nothing was lost.", number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, unwind) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
