"""Redact the texts of a row before it is stored."""

from __future__ import annotations

from collections import Counter
from typing import Any, Protocol

import msgspec

from evalkit.core.literals import Json

_TEXTS = (
    *("input", "output", "error_text", "comment", "name", "label"),
    *("version", "variant", "environment", "error_type", "model", "tool"),
)
_TABLE_TEXTS = ("request_id", "feedback_id")
"""The further texts of rows whose columns the user chose; in traces these are random ids."""

_VALUES = ("arguments", "result", "messages", "attributes", "tools")
_IDENTITIES = ("user", "session")
_MAX_CACHED = 20_000
_MAX_CACHED_CHARS = 2_000

_DROPPED = (
    "http.request.header.",
    "http.response.header.",
    "client.",
    "net.",
    "network.",
    "exception.stacktrace",
    "user_agent.",
    "http.user_agent",
    "http.client_ip",
    "url.query",
    "enduser.",
)
"""The beginnings of names of attributes that describe a person's device and connection."""


class ValueRedaction(Protocol):
    """What replaces secrets and personal data by stable tokens; `counts` has their number by kind."""

    counts: Counter[str]

    def redact_text(self, text: str) -> str:
        """Return the text without what must not be stored."""

    def redact_json(self, value: Json) -> Json:
        """Return a value whose texts are redacted, at any depth."""

    def pseudonym(self, kind: str, value: str) -> str:
        """Return the token of a user or a session: the same one for the same value."""


class RowRedaction:
    """Redacts rows. Traffic repeats itself, so short values are looked up before they are searched."""

    def __init__(self, redaction: ValueRedaction) -> None:
        self._redaction = redaction
        self._known: dict[bytes, tuple[Json, Counter[str] | None]] = {}
        self._names: dict[tuple[str, str], str] = {}

    @property
    def counts(self) -> Counter[str]:
        """The number of values replaced so far, by kind."""
        return self._redaction.counts

    def redact(self, row: dict[str, Any], *, is_trace: bool) -> None:
        """Redact a row in place; it is of a trace, or of a table of any kind."""
        attributes = row.get("attributes")
        if attributes and any(name.startswith(_DROPPED) for name in attributes):
            row["attributes"] = {
                name: value for name, value in attributes.items() if not name.startswith(_DROPPED)
            }
        for field in _TEXTS if is_trace else (*_TEXTS, *_TABLE_TEXTS):
            if row.get(field):
                row[field] = self._redact(row[field])
        for field in _VALUES:
            if row.get(field) is not None:
                row[field] = self._redact(row[field])
        for field in _IDENTITIES:
            if row.get(field):
                row[field] = self._name(field, row[field])

    def redact_message(self, text: str) -> str:
        """Redact a message about a file, which may quote it."""
        return self._redaction.redact_text(text)

    def _name(self, kind: str, value: str) -> str:
        known = self._names.get((kind, value))
        if known is None:
            if len(self._names) >= _MAX_CACHED:
                self._names.clear()
            known = self._names[kind, value] = self._redaction.pseudonym(kind, value)
        elif known != value:
            self.counts[kind] += 1
        return known

    def _redact(self, value: Json) -> Json:
        try:
            key = msgspec.json.encode(value)
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError):
            return self._search(value)
        if len(key) > _MAX_CACHED_CHARS:
            return self._search(value)
        known = self._known.get(key)
        if known is None:
            before = Counter(self.counts)
            found = self._search(value)
            added = self.counts - before
            if len(self._known) >= _MAX_CACHED:
                self._known.clear()
            self._known[key] = (found, added or None)
            return found
        if known[1]:
            self.counts.update(known[1])
        return known[0]

    def _search(self, value: Json) -> Json:
        if isinstance(value, str):
            return self._redaction.redact_text(value)
        return self._redaction.redact_json(value)
