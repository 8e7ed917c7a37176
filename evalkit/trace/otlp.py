"""Decode the body of an OTLP/HTTP export, JSON or protobuf, into span payloads."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from evalkit.core.limits import MAX_EXPORT_BYTES
from evalkit.core.literals import Json
from evalkit.trace.recording import SpanPayload

TRACE_ATTRIBUTE = "evalkit.trace.id"
"""The resource attribute with a trial's trace id, for SDKs that start a trace id of their own."""

_ERROR_STATUS = 2  # opentelemetry.proto.trace.v1.Status.StatusCode.STATUS_CODE_ERROR
_MAX_DEPTH = 32
"""Levels of nested attribute values that are read; deeper ones become None."""


class ReceivedSpan(NamedTuple):
    """A span payload, and the ids of two traces: the span's own, and the one that its resource names."""

    trace_id: str
    resource_trace_id: str
    payload: SpanPayload


class InvalidExport(Exception):
    """A body is not an OTLP export; the message says why not."""


class ExportTooLarge(InvalidExport):
    """A body exceeds `MAX_EXPORT_BYTES` when it is decompressed."""


def read_export(body: bytes, content_type: str, encoding: str) -> Iterator[ReceivedSpan]:
    """Yield the spans of one export.

    Raises:
        InvalidExport: the body is not what its headers say.
        ExportTooLarge: the body is too large when it is decompressed.
    """
    data = _decompress(body, encoding)
    if "json" in content_type:
        yield from _read_json(data)
    elif "protobuf" in content_type:
        yield from _read_protobuf(data)
    else:
        raise InvalidExport(f"content type {content_type!r} is neither JSON nor protobuf")


def _decompress(body: bytes, encoding: str) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise InvalidExport(f"content encoding {encoding!r} is unknown; send gzip, deflate or none")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # detects gzip or zlib by the header
    try:
        data = unpacker.decompress(body, MAX_EXPORT_BYTES)
    except zlib.error as error:
        raise InvalidExport(f"not {encoding}: {error}") from None
    if unpacker.unconsumed_tail:
        raise ExportTooLarge(f"more than {MAX_EXPORT_BYTES:,} bytes when decompressed")
    return data


def _read_json(data: bytes) -> Iterator[ReceivedSpan]:
    try:
        export = json.loads(data)
        for resource in export.get("resourceSpans") or ():
            attributes = _read_json_attributes((resource.get("resource") or {}).get("attributes"))
            named = str(attributes.get(TRACE_ATTRIBUTE, ""))
            for scope in resource.get("scopeSpans") or ():
                for span in scope.get("spans") or ():
                    yield ReceivedSpan(_to_hex(span.get("traceId")), named, _read_json_span(span))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise InvalidExport(f"not OTLP JSON: {type(error).__name__}: {error}") from None


def _read_json_span(span: Mapping[str, Any]) -> SpanPayload:
    status = span.get("status") or {}
    failed = status.get("code") in (_ERROR_STATUS, "STATUS_CODE_ERROR")
    start_ns = int(span["startTimeUnixNano"])
    events = [
        (event.get("name"), _read_json_attributes(event.get("attributes")))
        for event in span.get("events") or ()
    ]
    return {
        "id": _to_hex(span["spanId"]),
        "parent": _to_hex(span.get("parentSpanId")),
        "name": str(span.get("name", "")),
        "start_ns": start_ns,
        "end_ns": max(int(span.get("endTimeUnixNano") or 0), start_ns),
        **(_read_error(str(status.get("message") or ""), events) if failed else _NO_ERROR),
        "attributes": _read_json_attributes(span.get("attributes")),
    }


_NO_ERROR: SpanPayload = {"error": None, "error_type": ""}


def _read_error(message: str, events: Iterable[tuple[str, Mapping[str, Json]]]) -> SpanPayload:
    """Return the error of a failed span, from its status and its last exception."""
    # Successful spans are not read this way: they record the exceptions that the agent caught, too.
    raised = [attributes for event, attributes in events if event == "exception"] or [{}]
    return {
        "error": message or str(raised[-1].get("exception.message") or "") or "failed",
        "error_type": str(raised[-1].get("exception.type") or ""),
    }


def _to_hex(value: object) -> str:
    """Return an id in hexadecimal.

    OTLP/JSON demands hexadecimal, but some exporters use the JSON mapping of protobuf: base64.
    """
    if not value:
        return ""
    text = str(value)
    if len(text) in (16, 32):
        return text.lower()
    return base64.b64decode(text, validate=True).hex()


def _read_json_attributes(pairs: Sequence[Mapping[str, Any]] | None) -> dict[str, Json]:
    return {str(pair["key"]): _read_json_value(pair.get("value")) for pair in pairs or ()}


def _read_json_value(value: Mapping[str, Any] | None, depth: int = 0) -> Json:
    if not value or depth > _MAX_DEPTH:
        return None
    ((kind, inner),) = value.items()
    if kind == "intValue":
        return int(inner)
    if kind == "arrayValue":
        return [_read_json_value(item, depth + 1) for item in inner.get("values") or ()]
    if kind == "kvlistValue":
        return {
            str(pair["key"]): _read_json_value(pair.get("value"), depth + 1)
            for pair in inner.get("values") or ()
        }
    return inner


def _read_protobuf(data: bytes) -> Iterator[ReceivedSpan]:
    # 80 ms of imports, for agents that send protobuf.
    from google.protobuf.message import (  # type: ignore[import-untyped]  # noqa: PLC0415
        DecodeError,
    )
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415
        ExportTraceServiceRequest,
    )

    try:
        export = ExportTraceServiceRequest.FromString(data)
    except DecodeError as error:
        raise InvalidExport(f"not OTLP protobuf: {error}") from None
    for resource in export.resource_spans:
        attributes = _read_protobuf_attributes(resource.resource.attributes)
        named = str(attributes.get(TRACE_ATTRIBUTE, ""))
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield ReceivedSpan(span.trace_id.hex(), named, _read_protobuf_span(span))


def _read_protobuf_span(span: Any) -> SpanPayload:
    failed = span.status.code == _ERROR_STATUS
    events = [(event.name, _read_protobuf_attributes(event.attributes)) for event in span.events]
    return {
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "name": span.name,
        "start_ns": span.start_time_unix_nano,
        "end_ns": max(span.end_time_unix_nano, span.start_time_unix_nano),
        **(_read_error(span.status.message, events) if failed else _NO_ERROR),
        "attributes": _read_protobuf_attributes(span.attributes),
    }


def _read_protobuf_attributes(pairs: Iterable[Any]) -> dict[str, Json]:
    return {pair.key: _read_protobuf_value(pair.value) for pair in pairs}


def _read_protobuf_value(value: Any, depth: int = 0) -> Json:
    kind = value.WhichOneof("value")
    if kind is None or depth > _MAX_DEPTH:
        return None
    inner = getattr(value, kind)
    if kind == "array_value":
        return [_read_protobuf_value(item, depth + 1) for item in inner.values]
    if kind == "kvlist_value":
        return {pair.key: _read_protobuf_value(pair.value, depth + 1) for pair in inner.values}
    return base64.b64encode(inner).decode() if kind == "bytes_value" else inner
