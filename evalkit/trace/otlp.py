"""OTLP over HTTP: the body of an export, JSON or protobuf, into the steps it tells of."""

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
"""Of the resource: the trial's trace, for senders that make up trace ids of their own."""

_ERROR_STATUS = 2  # opentelemetry.proto.trace.v1.Status.StatusCode.STATUS_CODE_ERROR
_MAX_DEPTH = 32


class ReceivedSpan(NamedTuple):
    """A step, and the traces it may belong to: its own, and the one its resource names."""

    trace_id: str
    resource_trace_id: str
    payload: SpanPayload


class InvalidExport(Exception):
    """A body is no export; the message says why not."""


class ExportTooLarge(InvalidExport):
    """A body is larger than is taken."""


def read_export(body: bytes, content_type: str, encoding: str) -> Iterator[ReceivedSpan]:
    """The steps of one export.

    Raises:
        Unreadable: the body is not what its headers say.
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
        raise InvalidExport(f"content encoding {encoding!r} is not known")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # finds out which of the two it is
    try:
        data = unpacker.decompress(body, MAX_EXPORT_BYTES)
    except zlib.error as error:
        raise InvalidExport(f"no {encoding}: {error}") from None
    if unpacker.unconsumed_tail:
        raise ExportTooLarge(f"more than {MAX_EXPORT_BYTES:,} bytes when unpacked")
    return data


def _read_json(data: bytes) -> Iterator[ReceivedSpan]:
    try:
        export = json.loads(data)
        for resource in export.get("resourceSpans") or ():
            named = _get_resource_trace_id(
                _read_json_attributes((resource.get("resource") or {}).get("attributes"))
            )
            for scope in resource.get("scopeSpans") or ():
                for span in scope.get("spans") or ():
                    yield ReceivedSpan(_to_hex(span.get("traceId")), named, _read_json_span(span))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise InvalidExport(f"no OTLP JSON: {type(error).__name__}: {error}") from None


def _read_json_span(span: Mapping[str, Any]) -> SpanPayload:
    status = span.get("status") or {}
    return _build_payload(
        ids=(_to_hex(span["spanId"]), _to_hex(span.get("parentSpanId"))),
        name=str(span.get("name", "")),
        times=(int(span["startTimeUnixNano"]), int(span.get("endTimeUnixNano") or 0)),
        failure=str(status.get("message") or "")
        if status.get("code") in (_ERROR_STATUS, "STATUS_CODE_ERROR")
        else None,
        attributes=_read_json_attributes(span.get("attributes")),
        events=[
            (str(event.get("name")), _read_json_attributes(event.get("attributes")))
            for event in span.get("events") or ()
        ],
    )


def _build_payload(  # noqa: PLR0913 - what a span is made of, of either encoding
    *,
    ids: tuple[str, str],
    name: str,
    times: tuple[int, int],
    failure: str | None,
    attributes: dict[str, Json],
    events: Iterable[tuple[str, Mapping[str, Json]]],
) -> SpanPayload:
    exceptions = [details for event, details in events if event == "exception"]
    raised: Mapping[str, Json] = exceptions[-1] if exceptions else {}
    failed = failure is not None
    start_ns, end_ns = times
    return {
        "id": ids[0],
        "parent": ids[1],
        "name": name,
        "start_ns": start_ns,
        "end_ns": max(end_ns, start_ns),
        "error": (failure or str(raised.get("exception.message") or "") or "failed")
        if failed
        else None,
        "error_type": str(raised.get("exception.type") or "") if failed else "",
        "attributes": attributes,
    }


def _get_resource_trace_id(attributes: Mapping[str, Json]) -> str:
    return str(attributes.get(TRACE_ATTRIBUTE, ""))


def _to_hex(value: object) -> str:
    """An id in hexadecimal, as it should be; exporters that go by protobuf's own JSON send base64."""
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
    # 80 ms of imports, for those who send it.
    from google.protobuf.message import (  # type: ignore[import-untyped]  # noqa: PLC0415
        DecodeError,
    )
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415
        ExportTraceServiceRequest,
    )

    try:
        export = ExportTraceServiceRequest.FromString(data)
    except DecodeError as error:
        raise InvalidExport(f"no OTLP protobuf: {error}") from None
    for resource in export.resource_spans:
        named = _get_resource_trace_id(_read_protobuf_attributes(resource.resource.attributes))
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield ReceivedSpan(span.trace_id.hex(), named, _read_protobuf_span(span))


def _read_protobuf_span(span: Any) -> SpanPayload:
    return _build_payload(
        ids=(span.span_id.hex(), span.parent_span_id.hex()),
        name=span.name,
        times=(span.start_time_unix_nano, span.end_time_unix_nano),
        failure=span.status.message if span.status.code == _ERROR_STATUS else None,
        attributes=_read_protobuf_attributes(span.attributes),
        events=[(event.name, _read_protobuf_attributes(event.attributes)) for event in span.events],
    )


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
