"""Turn the observations of a platform into rows of spans, by way of the names that tracing uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from evalkit.core.literals import Json
from evalkit.trace.otlp_json import make_received_span
from evalkit.traffic.field_values import as_label, as_time_us
from evalkit.traffic.record_reader import DamagedRecord, TableRow
from evalkit.traffic.span_rows import SpanRows


def build_exported_span(  # noqa: PLR0913 - the parts of one record
    rows: SpanRows,
    *,
    ids: tuple[Json, Json, Json],
    name: Json,
    times: tuple[Json, Json],
    error: str | None,
    attributes: Mapping[str, Json],
    updated_at: Json = None,
) -> Iterator[TableRow]:
    """Yield the row of a span.

    `ids` are those of the trace, the span, and its parent. `times` are its start and its end. `error` is
    the message; None without an error. `attributes` have the names that `evalkit/trace` knows.

    Raises:
        DamagedRecord: it has no ids or no start.
    """
    trace, span, parent = (as_label(each) for each in ids)
    start_us, end_us = (as_time_us(each) for each in times)
    if trace is None or span is None:
        raise DamagedRecord("no ids of a trace and a span")
    if start_us is None:
        raise DamagedRecord("no start time that can be read")
    received = make_received_span(
        trace,
        {
            "id": span,
            "parent": parent or "",
            "name": as_label(name) or "",
            "scope": "",
            "start_ns": start_us * 1000,
            "end_ns": (end_us or 0) * 1000,
        },
        {},
        (),
        has_remote_parent=False,
        outcome=(
            0 if error is None else 2,
            error or "",
            {key: value for key, value in attributes.items() if value not in (None, "", {}, [])},
        ),
    )
    row: dict[str, Any] | None = rows.build(received)
    if row is not None:
        updated_us = as_time_us(updated_at)
        if updated_us is not None:
            row["updated_at"] = updated_us
        yield "spans", row


def count_unknown(record: Mapping[str, Json], known: frozenset[str], counts: Counter[str]) -> None:
    """Count the keys of a record that no column takes."""
    counts.update(str(key) for key in record if key not in known)
