"""What can be asked of stored traces, and what comes of it, as records."""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.records import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """Which traces are wanted; None where anything will do.

    `tool`, `error_type` and `slower_than_s` are about one and the same step; `error_type` and
    `slower_than_s` without a `tool` or `model` are about the trial as a whole as well.
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
    def asks(self) -> bool:
        """Whether anything at all is asked for."""
        return str(self) != "any"

    def __str__(self) -> str:
        words = [
            "failed" if self.failed else "",
            f"version {self.agent_version}" if self.agent_version is not None else "",
            f"case {self.case_id}" if self.case_id is not None else "",
            f"tool {self.tool}" if self.tool is not None else "",
            f"model {self.model}" if self.model is not None else "",
            f"error {self.error_type}" if self.error_type is not None else "",
            f"slower than {self.slower_than_s:g} s" if self.slower_than_s is not None else "",
            f"user {self.user}" if self.user is not None else "",
            f"session {self.session}" if self.session is not None else "",
        ]
        return ", ".join(filter(None, words)) or "any"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A table. `total` is how many rows there are in all, None when that is not known."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Json, ...], ...]
    total: int | None
