"""Read rows of any table or log by a map from evalkit's fields to the columns of the file."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from evalkit.core.errors import InvalidInput
from evalkit.core.literals import Json
from evalkit.core.prices import TokenCounts
from evalkit.core.serialization import canonical_json
from evalkit.core.values import ABSENT, find_value
from evalkit.trace.tool_data import parse_value
from evalkit.traffic.assembly import hash_input
from evalkit.traffic.columns import Row
from evalkit.traffic.feedback_rows import make_feedback
from evalkit.traffic.field_values import (
    as_amount,
    as_count,
    as_flag,
    as_label,
    as_share,
    as_time_us,
    as_user,
)
from evalkit.traffic.known_prices import KnownPrices
from evalkit.traffic.message_text import find_answer_text, find_user_text
from evalkit.traffic.record_reader import DamagedRecord, TableRow


def _to_list(value: Json) -> list[str] | None:
    parsed = parse_value(value)
    if isinstance(parsed, str):
        parsed = parsed.replace(";", ",").split(",")
    if not isinstance(parsed, list):
        return None
    names = [
        as_label(each.get("name") or find_column(each, "function.name"))
        if isinstance(each, Mapping)
        else as_label(each)
        for each in parsed
    ]
    return [name for name in names if name]


def find_column(value: Json, path: str) -> Json:
    """Return the value at a key, or at a dotted path; None if there is none. JSON in texts is parsed."""
    if isinstance(value, Mapping) and path in value:
        return value[path]
    step, _, rest = path.partition(".")
    inner = find_value(value, step)
    if inner is ABSENT:
        return None
    return find_column(parse_value(inner), rest) if rest else inner


FIELDS: Mapping[str, Callable[[Json], Any]] = {
    "id": as_label,
    "ts": as_time_us,
    "end": as_time_us,
    "first_token": as_time_us,
    "input": find_user_text,
    "output": find_answer_text,
    "user": as_user,
    "session": as_user,
    "version": as_label,
    "variant": as_label,
    "model": as_label,
    "environment": as_label,
    "name": as_label,
    "latency_ms": as_amount,
    "latency_s": as_amount,
    "ttft_ms": as_amount,
    "ttft_s": as_amount,
    "ok": as_flag,
    "error_type": as_label,
    "error_text": as_label,
    "input_tokens": as_count,
    "output_tokens": as_count,
    "cached_tokens": as_count,
    "cost_usd": as_amount,
    "tools": _to_list,
    "tool_errors": as_count,
    "escalated": as_flag,
    "resolved": as_flag,
    "sampling_p": as_share,
    "updated_at": as_time_us,
    "feedback": lambda value: value,
    "feedback_label": as_label,
    "feedback_comment": as_label,
    "feedback_name": as_label,
    "provider": as_label,
}
"""The fields that a column can be mapped to, and what turns the value of the column into theirs."""

_COPIED = (
    "user",
    "session",
    "version",
    "variant",
    "model",
    "environment",
    "name",
    "input",
    "output",
    "latency_ms",
    "ttft_ms",
    "ok",
    "error_type",
    "error_text",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "tools",
    "tool_errors",
    "escalated",
    "resolved",
    "sampling_p",
    "updated_at",
)


_ERROR_FIELDS = ("error_type", "error_text")
_STRICT_FIELDS = ("sampling_p",)
"""Fields in which a wrong value makes a row damaged: as unknown, it would count for too little."""


class MappedReader:
    """Reads one row as one request.

    `paths` has for each field the columns that may hold it; the first one that is not empty counts. A
    dotted column, such as `usage.prompt_tokens`, is inside a JSON value. `prepare` changes a row before
    it is read. A row with neither an input nor an output is damaged, unless `needs_text` is false.
    """

    def __init__(
        self,
        source: str,
        paths: Mapping[str, Sequence[str]],
        prepare: Callable[[Mapping[str, Json]], Mapping[str, Json]] | None = None,
        *,
        needs_text: bool = True,
    ) -> None:
        self.unknown_keys: Counter[str] = Counter()
        self._source = source
        self._paths = paths
        self._prepare = prepare
        self._needs_text = needs_text
        self._known = {path.partition(".")[0] for each in paths.values() for path in each}
        self._known |= {path for each in paths.values() for path in each}
        self._prices = KnownPrices()

    def read(self, record: Json) -> Iterator[TableRow]:
        """Yield the request of a row, and its feedback if it has any.

        Raises:
            DamagedRecord: it is no object, or has no time that can be read.
        """
        if not isinstance(record, Mapping):
            raise DamagedRecord("no object, and no row of a table")
        self.unknown_keys.update(str(key) for key in record if key not in self._known)
        row = record if self._prepare is None else self._prepare(record)
        values = {field: self._read_field(row, field) for field in self._paths}
        if values.get("ts") is None:
            columns = ", ".join(self._paths["ts"][:5])
            raise DamagedRecord(f"no time that can be read in {columns}")
        for field in _STRICT_FIELDS:
            if values.get(field) is None and self._has_value(row, field):
                raise DamagedRecord(f"no {field} that is possible in {self._paths[field][0]}")
        has_text = values.get("input") is not None or values.get("output") is not None
        if self._needs_text and not has_text:
            raise DamagedRecord("neither an input nor an output")
        errors = [values.get(field) for field in _ERROR_FIELDS]
        if values.get("ok") is None and self._names_errors(row) and not any(errors):
            # Otherwise a log of errors would have a rate of errors of 100%.
            values["ok"] = True if values.get("output") is not None else None
        yield from build_request(self._source, values, self._prices, identity=record)

    def _has_value(self, row: Mapping[str, Json], field: str) -> bool:
        found = (as_label(find_column(row, path)) for path in self._paths.get(field, ()))
        return any(value is not None for value in found)

    def _names_errors(self, row: Mapping[str, Json]) -> bool:
        """Return whether a row has a place for an error, which may be empty."""
        return any(path in row for field in _ERROR_FIELDS for path in self._paths.get(field, ()))

    def _read_field(self, row: Mapping[str, Json], field: str) -> Any:
        for path in self._paths[field]:
            value = find_column(row, path)
            if value not in (None, "", [], {}):
                found = FIELDS[field](value)
                if found is not None:
                    return found
        return None


def open_mapped(source: str, mapping: Mapping[str, str]) -> MappedReader:
    """Return a reader for the columns that the user names; a column named like a field needs no entry.

    Raises:
        InvalidInput: there is no such field.
    """
    unknown = [name for name in mapping if name not in FIELDS]
    if unknown:
        near = get_close_matches(unknown[0], FIELDS, n=1)
        advice = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(FIELDS)}."
        raise InvalidInput.single(f"--map {unknown[0]}=: there is no such field. {advice}")
    return MappedReader(source, {field: (mapping.get(field, field),) for field in FIELDS})


def build_request(
    source: str, values: Mapping[str, Any], prices: KnownPrices, *, identity: Json
) -> Iterator[TableRow]:
    """Yield the row of a request, and of its feedback, from the values of the fields in `FIELDS`.

    Without an id, the digest of `identity` is the id, so that an equal row is the same request.
    """
    known = {field: value for field, value in values.items() if value is not None}
    key = known.get("id") or hashlib.sha256(canonical_json(identity).encode()).hexdigest()[:24]
    row: Row = {
        "request_id": f"{source}:{key}",
        "source": source,
        "ts": known["ts"],
        "incomplete": False,
        **{field: known[field] for field in _COPIED if field in known},
    }
    for field, seconds, moment in (
        ("latency_ms", "latency_s", "end"),
        ("ttft_ms", "ttft_s", "first_token"),
    ):
        if field not in row and seconds in known:
            row[field] = known[seconds] * 1e3
        elif field not in row and moment in known and known[moment] >= known["ts"]:
            row[field] = (known[moment] - known["ts"]) / 1e3
    if "version" in row:
        row["version_from"] = "column"
    if "escalated" in row:
        row["escalated_from"] = "column"
    if ("error_type" in row or "error_text" in row) and "ok" not in row:
        row["ok"] = False
    if row.get("ok") is False:
        row.setdefault("error_type", "error")
    row["input_hash"] = hash_input(row.get("input"))
    row["cost_usd"], row["cost_from"] = _find_cost(known, prices)
    yield "requests", {name: value for name, value in row.items() if value is not None}
    if "feedback" in known or "feedback_label" in known:
        yield (
            "feedback",
            make_feedback(
                source=source,
                trace_id=key,
                session=known.get("session"),
                time_us=known["ts"],
                name=known.get("feedback_name", "user_feedback"),
                rater="user",
                value=known.get("feedback"),
                label=known.get("feedback_label"),
                comment=known.get("feedback_comment"),
                feedback_id=f"{key}/{known.get('feedback_name', 'user_feedback')}",
                updated_us=known.get("updated_at"),
            ),
        )


def _find_cost(known: Mapping[str, Any], prices: KnownPrices) -> tuple[float | None, str]:
    if "cost_usd" in known:
        return known["cost_usd"], "source"
    if "model" not in known or not {"input_tokens", "output_tokens"} & known.keys():
        return None, "none"
    tokens = TokenCounts(
        input_tokens=known.get("input_tokens", 0),
        output_tokens=known.get("output_tokens", 0),
        cached_tokens=known.get("cached_tokens", 0),
    )
    cost_usd = prices.find_cost_usd(known["model"], known.get("provider", ""), tokens)
    return cost_usd, "none" if cost_usd is None else "computed"
