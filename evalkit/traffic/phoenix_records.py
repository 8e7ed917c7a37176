"""Read flat exports of OpenInference spans, as Phoenix writes them, and their annotations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from evalkit.core.literals import Json
from evalkit.trace.tool_data import parse_value
from evalkit.traffic.exported_spans import build_exported_span
from evalkit.traffic.feedback_rows import make_feedback
from evalkit.traffic.field_values import as_time_us
from evalkit.traffic.mapped_rows import find_column
from evalkit.traffic.record_reader import DamagedRecord, TableRow
from evalkit.traffic.span_rows import SpanRows

_WHOLE = ("metadata", "input.value", "output.value", "tool.parameters", "tag.tags")
"""The attributes whose value stays as it is, also if it has parts."""

_MAX_ATTRIBUTES = 2_000


def is_phoenix(record: Json) -> bool:
    """Return whether a record is a span or an annotation of Phoenix."""
    if not isinstance(record, Mapping):
        return False
    return _is_span(record) or _is_annotation(record)


def _is_span(record: Mapping[str, Any]) -> bool:
    has_ids = bool(find_column(record, "context.trace_id")) or (
        {"trace_id", "span_id"} <= record.keys()
        and bool({"attributes", "span_kind"} & record.keys())
    )
    return has_ids and "start_time" in record


def _is_annotation(record: Mapping[str, Any]) -> bool:
    return "annotator_kind" in record and bool(
        {"span_id", "trace_id", "session_id"} & record.keys()
    )


class PhoenixReader:
    """Reads spans with `attributes.*` in columns or in one object, and annotations as feedback."""

    def __init__(self, source: str) -> None:
        self.unknown_keys: Counter[str] = Counter()
        self._source = source
        self._rows = SpanRows(source)

    def read(self, record: Json) -> Iterator[TableRow]:
        """Yield the span or the annotation of a record.

        Raises:
            DamagedRecord: it is neither.
        """
        if not is_phoenix(record):
            raise DamagedRecord("no span and no annotation of Phoenix")
        if _is_span(record):
            yield from self._read_span(record)
            for annotation in record.get("annotations") or ():
                if isinstance(annotation, Mapping):
                    yield self._read_annotation({**annotation, "span_id": _read_id(record, "span")})
        else:
            yield self._read_annotation(record)

    def _read_span(self, record: Mapping[str, Any]) -> Iterator[TableRow]:
        attributes = _read_attributes(record)
        attributes.setdefault("openinference.span.kind", record.get("span_kind"))
        failed = str(record.get("status_code", "")).upper() == "ERROR"
        yield from build_exported_span(
            self._rows,
            ids=(_read_id(record, "trace"), _read_id(record, "span"), record.get("parent_id")),
            name=record.get("name"),
            times=(record.get("start_time"), record.get("end_time")),
            error=str(record.get("status_message") or "") if failed else None,
            attributes=attributes,
        )

    def _read_annotation(self, record: Mapping[str, Any]) -> TableRow:
        result = record.get("result")
        result = result if isinstance(result, Mapping) else {}
        time_us = as_time_us(record.get("created_at") or record.get("updated_at"))
        if time_us is None:
            raise DamagedRecord("an annotation without a time")
        row = make_feedback(
            source=self._source,
            trace_id=record.get("trace_id"),
            span_id=record.get("span_id"),
            session=record.get("session_id"),
            time_us=time_us,
            name=record.get("name") or record.get("annotation_name"),
            rater=record["annotator_kind"],
            value=result.get("score", record.get("result.score", record.get("score"))),
            label=result.get("label", record.get("result.label", record.get("label"))),
            comment=result.get("explanation", record.get("result.explanation")),
            feedback_id=record.get("id"),
            updated_us=as_time_us(record.get("updated_at")),
        )
        return "feedback", row


def _read_id(record: Mapping[str, Any], what: str) -> Json:
    return find_column(record, f"context.{what}_id") or record.get(f"{what}_id")


def _read_attributes(record: Mapping[str, Any]) -> dict[str, Json]:
    """Return the attributes by dotted names, also of objects and lists that a table has in one cell."""
    given = parse_value(record.get("attributes"))
    tree: dict[str, Json] = dict(given) if isinstance(given, Mapping) else {}
    for key, value in record.items():
        if str(key).startswith("attributes.") and value is not None:
            tree[str(key).removeprefix("attributes.")] = value
    flat: dict[str, Json] = {}
    open_items = list(tree.items())
    while open_items and len(flat) < _MAX_ATTRIBUTES:
        name, value = open_items.pop()
        if isinstance(value, Mapping) and name not in _WHOLE:
            open_items += [(f"{name}.{key}", each) for key, each in value.items()]
        elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
            open_items += [(f"{name}.{index}", each) for index, each in enumerate(value)]
        elif value is not None:
            flat[name] = value
    return flat
