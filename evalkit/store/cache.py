"""Cache paid answers on disk, under a key that covers everything that can change them.

The code under test runs as the same user and could write entries. So only entries are used that this
process wrote, or that were there, unchanged, when the cache was opened, before any such code started.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from evalkit.core.errors import StoreError
from evalkit.core.file_marks import FileMark, mark_file, mark_files, mark_status
from evalkit.core.files import open_for_append, open_stored_file, os_error_reason
from evalkit.core.literals import Json
from evalkit.core.serialization import canonical_json, digest, parse_stored_json, to_json_value
from evalkit.store.seal import Seal

MAX_ENTRY_BYTES = 16 << 20

WRITES_FILE = "writes"
"""The file in a cache's folder that grows before and after a process writes an entry.

So a process that sees a new entry also sees that the file has grown since.
"""

Record = TypeVar("Record")


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheTrust:
    """Which entries of earlier processes a cache uses.

    With a `seal`, only those that were sealed with its keys. Without one, all of them, or none if
    `requires_seal`.
    """

    seal: Seal = field(default_factory=Seal)
    requires_seal: bool = False


class Cache(Generic[Record]):
    """A folder of records of one type by key.

    A cache only saves money, so its problems are warnings. `warnings` has the first problem with reading,
    with writing, and with deleting, and that entries were not used because they lack the seal.
    """

    def __init__(self, folder: Path, record: type[Record], trust: CacheTrust | None = None) -> None:
        """Open the cache and mark its entries; start no code under test before."""
        self.warnings: dict[str, str] = {}
        self._folder = folder
        self._record = record
        self._trust = trust or CacheTrust()
        self._writes_found = self._read_writes()
        self._found = dict(mark_files(folder))
        self._own_writes = 0
        # What this process wrote, by name: the mark of the file, and the digest of the record.
        self._own: dict[str, tuple[FileMark | None, str]] = {}

    def get(self, key: str) -> Record | None:
        """Return the record of a key; None if it is missing, was changed, or is not trusted."""
        name = self._name(key)
        if name not in self._own and name not in self._found:
            return None
        path = self._folder / name
        try:
            with open_stored_file(path) as stream:
                mark = mark_status(os.fstat(stream.fileno()))
                content = stream.read(MAX_ENTRY_BYTES + 1)
            if not self._is_marked(name, mark):
                return None
            if len(content) > MAX_ENTRY_BYTES:
                raise ValueError("too large")
            entry = parse_stored_json(content)
            # The digest detects incomplete and edited records; the key detects a renamed file.
            if entry["key"] != key or entry["digest"] != digest(entry["record"]):
                raise ValueError("changed since it was written")
            if not self._is_trusted(name, entry):
                return None
            return msgspec.convert(entry["record"], self._record, strict=True)
        except (OSError, StoreError, ValueError, KeyError, TypeError) as error:
            if os.path.lexists(path):  # another process may have removed it
                why = f"{path}: the cached record is broken ({error}) and was not used."
                self.warnings.setdefault("read", why)
            return None

    def _is_marked(self, name: str, mark: FileMark) -> bool:
        """Return whether a file is one that was found, or one that this process wrote."""
        return mark == (self._own[name][0] if name in self._own else self._found.get(name))

    def _is_trusted(self, name: str, entry: Json) -> bool:
        seal = self._trust.seal
        if name in self._own:
            return bool(self._own[name][1] == _fingerprint(entry))
        if seal and seal.is_valid(_signed_text(entry), entry.get("seal")):
            return True
        if not seal and not self._trust.requires_seal:
            return True
        why = (
            "entries without a seal of this key were not used"
            if seal
            else "nothing seals its entries, so those of earlier processes were not used in CI. Set "
            "EVALKIT_STORE_KEY, or give the judge a key"
        )
        self.warnings.setdefault("seal", f"{self._folder}: {why}.")
        return False

    def put(self, key: str, record: Record) -> None:
        """Store a record."""
        packed = to_json_value(record)
        name = self._name(key)
        path = self._folder / name
        temporary = path.with_suffix(f".{secrets.token_hex(4)}")
        try:
            entry = {"key": key, "record": packed, "digest": digest(packed)}
            if signature := self._trust.seal.sign(_signed_text(entry)):
                entry["seal"] = signature
            text = canonical_json(entry)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._count_write()
            # No fsync: an entry that a crash left incomplete is a cache miss.
            temporary.write_text(text)
            temporary.replace(path)
            self._count_write()
            self._own[name] = (mark_file(path), _fingerprint(entry))
        except (OSError, StoreError, ValueError) as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            reason = os_error_reason(error) if isinstance(error, OSError) else str(error)
            self.warnings.setdefault("write", f"{path}: could not be cached: {reason}.")

    def _read_writes(self) -> int:
        mark = mark_file(self._folder / WRITES_FILE)
        return mark[2] if mark else 0

    def _count_write(self) -> None:
        descriptor = open_for_append(self._folder / WRITES_FILE)
        try:
            os.write(descriptor, b".")
            self._own_writes += 1
        finally:
            os.close(descriptor)

    def delete(self, key: str) -> None:
        """Remove the record of a key; this process does not use it again if it comes back."""
        name = self._name(key)
        self._own.pop(name, None)
        self._found.pop(name, None)
        path = self._folder / name
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            why = f"{path}: could not be removed: {os_error_reason(error)}. Remove it by hand."
            self.warnings.setdefault("delete", why)

    def refuse_forged(self) -> None:
        """Remove entries that neither this process nor another evalkit wrote, and report them.

        Raises:
            StoreError: there are such entries. None of them was used.
        """
        forged = list(self._find_forged())
        for path in forged:
            with contextlib.suppress(OSError):
                path.unlink()
        if forged:
            more = f" (and {len(forged) - 1:,} more)" if len(forged) > 1 else ""
            raise StoreError(
                f"{forged[0]}{more}: written by something else than evalkit during the run, so nothing "
                f"in the store can be trusted. The entries were not used, and were removed. Keep the "
                f"agent away from .evalkit and run again."
            )

    def _find_forged(self) -> Iterator[Path]:
        now = mark_files(self._folder)
        # After the entries: see WRITES_FILE.
        if self._read_writes() > self._writes_found + self._own_writes:
            return  # another evalkit has written entries, perhaps with another key
        for name, mark in now.items():
            is_new = name.endswith(".json") and not self._is_marked(name, mark)
            if is_new and not self._is_sealed(path := self._folder / name):
                yield path

    def _is_sealed(self, path: Path) -> bool:
        try:
            with open_stored_file(path) as stream:
                entry = parse_stored_json(stream.read(MAX_ENTRY_BYTES + 1))
            is_named = self._name(entry["key"]) == str(path.relative_to(self._folder))
            return is_named and self._trust.seal.is_valid(_signed_text(entry), entry.get("seal"))
        except (OSError, StoreError, ValueError, KeyError, TypeError, AttributeError):
            return not os.path.lexists(path)  # another process has removed it

    @staticmethod
    def _name(key: str) -> str:
        # Two levels, because a folder with a hundred thousand files is slow.
        return f"{key[:2]}/{key}.json"


def _signed_text(entry: Json) -> str:
    return canonical_json([entry["key"], entry["record"]])


def _fingerprint(entry: Json) -> str:
    return digest([entry["key"], entry["record"]])


class NoCache(Cache[Record]):
    """A cache that stores nothing and never has a record."""

    def __init__(self, record: type[Record]) -> None:
        super().__init__(Path(os.devnull), record)

    def get(self, key: str) -> Record | None:  # noqa: ARG002 - no key has a record
        """Return None."""
        return None

    def put(self, key: str, record: Record) -> None:
        """Do nothing."""

    def delete(self, key: str) -> None:
        """Do nothing."""


def cache_folder(root: Path, name: str) -> Path:
    """Return the folder of one kind of cached answers."""
    return root / ".evalkit" / "cache" / name
