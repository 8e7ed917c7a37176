"""Cache paid answers on disk, under a key that covers everything that can change them."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from evalkit.core.errors import StoreError
from evalkit.core.files import os_error_reason, read_stored_file
from evalkit.core.serialization import canonical_json, digest, parse_stored_json, to_json_value

MAX_ENTRY_BYTES = 16 << 20

Record = TypeVar("Record")


class Cache(Generic[Record]):
    """A folder of records of one type by key.

    A cache only saves money, so its problems are warnings. `warnings` has the first problem with reading,
    with writing, and with deleting.
    """

    def __init__(self, folder: Path, record: type[Record]) -> None:
        self.warnings: dict[str, str] = {}
        self._folder = folder
        self._record = record

    def get(self, key: str) -> Record | None:
        """Return the record of a key; None if it is missing or was changed."""
        path = self._path(key)
        try:
            if path.stat().st_size > MAX_ENTRY_BYTES:
                raise ValueError("too large")
            entry = parse_stored_json(read_stored_file(path))
            # The digest detects incomplete and edited records; the key detects a renamed file.
            if entry["key"] != key or entry["digest"] != digest(entry["record"]):
                raise ValueError("changed since it was written")
            return msgspec.convert(entry["record"], self._record, strict=True)
        except FileNotFoundError:
            return None
        except (OSError, StoreError, ValueError, KeyError, TypeError) as error:
            why = f"{path}: the cached record is broken ({error}) and was not used."
            self.warnings.setdefault("read", why)
            return None

    def put(self, key: str, record: Record) -> None:
        """Store a record."""
        packed = to_json_value(record)
        path = self._path(key)
        temporary = path.with_suffix(f".{secrets.token_hex(4)}")
        try:
            text = canonical_json({"key": key, "record": packed, "digest": digest(packed)})
            path.parent.mkdir(parents=True, exist_ok=True)
            # No fsync: an entry that a crash left incomplete is a cache miss.
            temporary.write_text(text)
            temporary.replace(path)
        except (OSError, ValueError) as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            reason = os_error_reason(error) if isinstance(error, OSError) else str(error)
            self.warnings.setdefault("write", f"{path}: could not be cached: {reason}.")

    def delete(self, key: str) -> None:
        """Remove the record of a key."""
        path = self._path(key)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            why = f"{path}: could not be removed: {os_error_reason(error)}. Remove it by hand."
            self.warnings.setdefault("delete", why)

    def _path(self, key: str) -> Path:
        # Two levels, because a folder with a hundred thousand files is slow.
        return self._folder / key[:2] / f"{key}.json"


class NoCache(Cache[Record]):
    """A cache that stores nothing and never has a record."""

    def __init__(self, record: type[Record]) -> None:
        super().__init__(Path(), record)

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
