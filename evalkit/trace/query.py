"""The records of a search in stored traces: which runs, which traces, and the rows found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evalkit.core.literals import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRuns:
    """The folders of the runs to search.

    `folders` are all of them; the spans of `parquet_folders` are stored by column, and those of
    `jsonl_folders` only line by line.
    """

    folders: tuple[Path, ...]
    parquet_folders: tuple[Path, ...]
    jsonl_folders: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceQuery:
    """The conditions that a trace must meet; None where any value will do.

    `tool`, `error_type` and `slower_than_s` must hold for one and the same span. Without a `tool` or
    `model`, `error_type` also matches the error of the trial, and `slower_than_s` its latency.
    """

    failed: bool = False
    agent_version: str | None = None
    tool: str | None = None
    error_type: str | None = None
    model: str | None = None
    user: str | None = None
    session: str | None = None
    case_id: str | None = None
    slower_than_s: float | None = None
    limit: int = 50

    @property
    def has_filters(self) -> bool:
        """Whether there is any condition."""
        return str(self) != "any"

    def __str__(self) -> str:
        named = {
            "version": self.agent_version,
            "case": self.case_id,
            "tool": self.tool,
            "model": self.model,
            "error": self.error_type,
            "slower than": None if self.slower_than_s is None else f"{self.slower_than_s:g} s",
            "user": self.user,
            "session": self.session,
        }
        words = [f"{name} {value}" for name, value in named.items() if value is not None]
        return ", ".join([*(["failed"] if self.failed else []), *words]) or "any"


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryResult:
    """A table. `total` counts the rows without the limit, and is None when that is unknown."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Json, ...], ...]
    total: int | None
