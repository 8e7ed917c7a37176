"""Verdicts kept on disk by everything that can change them, so that an equal answer keeps its verdict."""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import replace
from pathlib import Path

import msgspec

from evalkit.digest import canonical, digest
from evalkit.errors import StoreError
from evalkit.files import read_stored, reason_of
from evalkit.judgement import Reading
from evalkit.packing import pack, unpack

MAX_ENTRY_BYTES = 4 << 20


class VerdictCache:
    """A folder of readings by key; trouble with it is a warning, for it only saves money.

    `warnings` say what was found broken or could not be written, the first of each kind.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / ".evalkit" / "cache" / "verdicts"
        self.warnings: dict[str, str] = {}

    def find(self, key: str) -> Reading | None:
        """The reading kept under a key, unless it is missing or not what was written."""
        path = self._path(key)
        try:
            if path.stat().st_size > MAX_ENTRY_BYTES:
                raise ValueError("too large")
            entry = unpack(read_stored(path))
            if entry["key"] != key or entry["digest"] != digest(entry["reading"]):
                raise ValueError("changed since it was written")
            reading = msgspec.convert(entry["reading"], Reading, strict=True)
        except FileNotFoundError:
            return None
        except (OSError, StoreError, ValueError, KeyError, TypeError) as error:
            self.warnings.setdefault(
                "read", f"{path}: a kept verdict is broken ({error}) and was asked for again."
            )
            return None
        return replace(
            reading, calls=0, input_tokens=0, output_tokens=0, cost_usd=None, is_cached=True
        )

    def keep(self, key: str, reading: Reading) -> None:
        """Keep a reading that holds verdicts."""
        if reading.state != "scored":
            return
        path = self._path(key)
        packed = pack(reading)
        text = canonical({"key": key, "reading": packed, "digest": digest(packed)})
        temporary = path.with_suffix(f".{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # No fsync: an entry torn by a crash is a miss.
            temporary.write_text(text)
            temporary.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108 - suppressed as one call
            self.warnings.setdefault(
                "write", f"{path}: the verdict could not be kept: {reason_of(error)}."
            )

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"
