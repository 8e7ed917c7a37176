"""Decode the body of an OTLP/HTTP export, JSON or protobuf, into span payloads."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from evalkit.core.limits import MAX_EXPORT_BYTES
from evalkit.core.literals import Json
from evalkit.trace.events import SpanStatus, read_outcome
from evalkit.trace.recording import SpanPayload

TRACE_ATTRIBUTE = "evalkit.trace.id"
"""The resource attribute with a trial's trace id, for SDKs that start a trace id of their own."""

_STATUSES: Mapping[object, SpanStatus] = {
    1: "ok",
    "STATUS_CODE_OK": "ok",
    2: "error",
    "STATUS_CODE_ERROR": "error",
}
"""The values of `opentelemetry.proto.trace.v1.Status.StatusCode`; any other is unset."""

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
                name = str((scope.get("scope") or {}).get("name") or "")
                for span in scope.get("spans") or ():
                    payload = _read_json_span(span, name)
                    yield ReceivedSpan(_to_hex(span.get("traceId")), named, payload)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise InvalidExport(f"not OTLP JSON: {type(error).__name__}: {error}") from None


def _read_json_span(span: Mapping[str, Any], scope: str) -> SpanPayload:
    status = span.get("status") or {}
    start_ns = int(span["startTimeUnixNano"])
    events = [
        (str(event.get("name")), _read_json_attributes(event.get("attributes")))
        for event in span.get("events") or ()
    ]
    return {
        "id": _to_hex(span["spanId"]),
        "parent": _to_hex(span.get("parentSpanId")),
        "name": str(span.get("name", "")),
        "scope": scope,
        "start_ns": start_ns,
        "end_ns": max(int(span.get("endTimeUnixNano") or 0), start_ns),
        **read_outcome(
            _STATUSES.get(status.get("code"), "unset"),
            str(status.get("message") or ""),
            events,
            _read_json_attributes(span.get("attributes")),
        ),
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
                payload = _read_protobuf_span(span, scope.scope.name)
                yield ReceivedSpan(span.trace_id.hex(), named, payload)


def _read_protobuf_span(span: Any, scope: str) -> SpanPayload:
    return {
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "name": span.name,
        "scope": scope,
        "start_ns": span.start_time_unix_nano,
        "end_ns": max(span.end_time_unix_nano, span.start_time_unix_nano),
        **read_outcome(
            _STATUSES.get(span.status.code, "unset"),
            span.status.message,
            [(event.name, _read_protobuf_attributes(event.attributes)) for event in span.events],
            _read_protobuf_attributes(span.attributes),
        ),
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
