"""Collect the rows of one import on disk, where they are deduplicated and grouped before they are stored.

Python writes the rows as lines of JSON, and DuckDB loads them with known types into a database file next to
the store. Both have a limit on memory, so an import of any size takes the same.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from evalkit.traffic.columns import TABLES
from evalkit.traffic.table import quote_text

MAX_MEMORY = "200MB"
"""What DuckDB may use. Beyond it, DuckDB works on disk."""

_CHUNK_BYTES = 12 << 20
_MIN_OBJECT_BYTES = 2 << 20

TRACE_DAYS = {"request_id": "VARCHAR", "ts": "TIMESTAMP"}
"""The columns of the staged table with the start of each trace."""


class ImportStage:
    """The rows of one import, in the tables new_requests, new_spans, new_feedback, and new_trace_days.

    Each row has a further column `seq`, by which later rows have higher numbers. `root_id` of a request is
    its span with the messages and attributes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.connection = duckdb.connect(str(folder / "stage.duckdb"))
        requests = {**TABLES["requests"], "root_id": "VARCHAR"}
        self._columns = {**TABLES, "requests": requests, "trace_days": TRACE_DAYS}
        self._lines: dict[str, list[bytes]] = {name: [] for name in self._columns}
        self._bytes = dict.fromkeys(self._columns, 0)
        self._seq = 0
        for setting in (
            f"memory_limit = '{MAX_MEMORY}'",
            "threads = 2",
            f"temp_directory = {quote_text(str(folder / 'spill'))}",
            "preserve_insertion_order = false",
            "TimeZone = 'UTC'",
            "autoinstall_known_extensions = false",
            "autoload_known_extensions = false",
        ):
            self.connection.execute(f"set {setting}")
        for name, columns in self._columns.items():
            typed = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
            self.connection.execute(f"create table new_{name} ({typed}, seq BIGINT)")

    def add(self, table: str, row: Mapping[str, Any]) -> None:
        """Add a row. Times of type TIMESTAMP are given in microseconds since 1970."""
        self._seq += 1
        line = _encode({**row, "seq": self._seq})
        self._lines[table].append(line)
        self._bytes[table] += len(line)
        if self._bytes[table] > _CHUNK_BYTES:
            self._load(table)

    def load(self) -> None:
        """Load all rows that were added, so that SQL sees them."""
        for table in self._columns:
            self._load(table)

    def _load(self, table: str) -> None:
        if not self._lines[table]:
            return
        chunk = self.folder / "chunk.jsonl"
        with chunk.open("wb") as stream:
            stream.write(b"\n".join(self._lines[table]))
            stream.write(b"\n")
        # DuckDB reserves twice this size for each thread.
        longest = max(_MIN_OBJECT_BYTES, *(len(line) + 2 for line in self._lines[table]))
        self._lines[table].clear()
        self._bytes[table] = 0
        columns = self._columns[table]
        kinds = {
            name: "BIGINT" if kind == "TIMESTAMP" else kind for name, kind in columns.items()
        } | {"seq": "BIGINT"}
        shape = ", ".join(f"{quote_text(name)}: {quote_text(kind)}" for name, kind in kinds.items())
        values = ", ".join(
            f'make_timestamp("{name}")' if kind == "TIMESTAMP" else f'"{name}"'
            for name, kind in columns.items()
        )
        self.connection.execute(
            f"insert into new_{table} select {values}, seq from read_json("  # noqa: S608
            f"{quote_text(str(chunk))}, format = 'newline_delimited', columns = {{{shape}}}, "
            f"maximum_object_size = {longest})"
        )
        chunk.unlink()


@contextmanager
def open_stage(folder: Path) -> Iterator[ImportStage]:
    """Open a stage in a private folder inside `folder`, and delete it in the end."""
    folder.mkdir(parents=True, exist_ok=True)
    private = Path(tempfile.mkdtemp(prefix=".import-", dir=folder))
    try:
        stage = ImportStage(private)
        try:
            yield stage
        finally:
            stage.connection.close()
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _encode(row: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(row)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
        # An integer beyond 64 bits, or half of a surrogate pair.
        text = json.dumps(row, default=str, ensure_ascii=False)
        return text.encode("utf-8", "replace")
