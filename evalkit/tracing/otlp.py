"""OTLP over HTTP: the body of an export, JSON or protobuf, into the steps it tells of."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from evalkit.caps import MAX_EXPORT_BYTES
from evalkit.recording import Told
from evalkit.records import Json

TRACE_ATTRIBUTE = "evalkit.trace.id"
"""Of the resource: the trial's trace, for senders that make up trace ids of their own."""

_ERROR = 2  # opentelemetry.proto.trace.v1.Status.StatusCode.STATUS_CODE_ERROR
_DEEPEST = 32


class Arrived(NamedTuple):
    """A step, and the traces it may belong to: its own, and the one its resource names."""

    trace_id: str
    named_trace_id: str
    told: Told


class Unreadable(Exception):
    """A body is no export; the message says why not."""


class TooLarge(Unreadable):
    """A body is larger than is taken."""


def read_export(body: bytes, content_type: str, encoding: str) -> Iterator[Arrived]:
    """The steps of one export.

    Raises:
        Unreadable: the body is not what its headers say.
    """
    data = _unpack(body, encoding)
    if "json" in content_type:
        yield from _read_json(data)
    elif "protobuf" in content_type:
        yield from _read_protobuf(data)
    else:
        raise Unreadable(f"content type {content_type!r} is neither JSON nor protobuf")


def _unpack(body: bytes, encoding: str) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise Unreadable(f"content encoding {encoding!r} is not known")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # finds out which of the two it is
    try:
        data = unpacker.decompress(body, MAX_EXPORT_BYTES)
    except zlib.error as error:
        raise Unreadable(f"no {encoding}: {error}") from None
    if unpacker.unconsumed_tail:
        raise TooLarge(f"more than {MAX_EXPORT_BYTES:,} bytes when unpacked")
    return data


def _read_json(data: bytes) -> Iterator[Arrived]:
    try:
        export = json.loads(data)
        for resource in export.get("resourceSpans") or ():
            named = _named_trace(_plain((resource.get("resource") or {}).get("attributes")))
            for scope in resource.get("scopeSpans") or ():
                for span in scope.get("spans") or ():
                    yield Arrived(_hex(span.get("traceId")), named, _json_span(span))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise Unreadable(f"no OTLP JSON: {type(error).__name__}: {error}") from None


def _json_span(span: Mapping[str, Any]) -> Told:
    status = span.get("status") or {}
    return _told(
        ids=(_hex(span["spanId"]), _hex(span.get("parentSpanId"))),
        name=str(span.get("name", "")),
        times=(int(span["startTimeUnixNano"]), int(span.get("endTimeUnixNano") or 0)),
        failure=str(status.get("message") or "")
        if status.get("code") in (_ERROR, "STATUS_CODE_ERROR")
        else None,
        attributes=_plain(span.get("attributes")),
        events=[
            (str(event.get("name")), _plain(event.get("attributes")))
            for event in span.get("events") or ()
        ],
    )


def _told(  # noqa: PLR0913 - what a span is made of, of either encoding
    *,
    ids: tuple[str, str],
    name: str,
    times: tuple[int, int],
    failure: str | None,
    attributes: dict[str, Json],
    events: Iterable[tuple[str, Mapping[str, Json]]],
) -> Told:
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


def _named_trace(attributes: Mapping[str, Json]) -> str:
    return str(attributes.get(TRACE_ATTRIBUTE, ""))


def _hex(value: object) -> str:
    """An id in hexadecimal, as it should be; exporters that go by protobuf's own JSON send base64."""
    if not value:
        return ""
    text = str(value)
    if len(text) in (16, 32):
        return text.lower()
    return base64.b64decode(text, validate=True).hex()


def _plain(pairs: Sequence[Mapping[str, Any]] | None) -> dict[str, Json]:
    return {str(pair["key"]): _plain_value(pair.get("value")) for pair in pairs or ()}


def _plain_value(value: Mapping[str, Any] | None, depth: int = 0) -> Json:
    if not value or depth > _DEEPEST:
        return None
    ((kind, inner),) = value.items()
    if kind == "intValue":
        return int(inner)
    if kind == "arrayValue":
        return [_plain_value(item, depth + 1) for item in inner.get("values") or ()]
    if kind == "kvlistValue":
        return {
            str(pair["key"]): _plain_value(pair.get("value"), depth + 1)
            for pair in inner.get("values") or ()
        }
    return inner


def _read_protobuf(data: bytes) -> Iterator[Arrived]:
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
        raise Unreadable(f"no OTLP protobuf: {error}") from None
    for resource in export.resource_spans:
        named = _named_trace(_message_attributes(resource.resource.attributes))
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Arrived(span.trace_id.hex(), named, _message_span(span))


def _message_span(span: Any) -> Told:
    return _told(
        ids=(span.span_id.hex(), span.parent_span_id.hex()),
        name=span.name,
        times=(span.start_time_unix_nano, span.end_time_unix_nano),
        failure=span.status.message if span.status.code == _ERROR else None,
        attributes=_message_attributes(span.attributes),
        events=[(event.name, _message_attributes(event.attributes)) for event in span.events],
    )


def _message_attributes(pairs: Iterable[Any]) -> dict[str, Json]:
    return {pair.key: _message_value(pair.value) for pair in pairs}


def _message_value(value: Any, depth: int = 0) -> Json:
    kind = value.WhichOneof("value")
    if kind is None or depth > _DEEPEST:
        return None
    inner = getattr(value, kind)
    if kind == "array_value":
        return [_message_value(item, depth + 1) for item in inner.values]
    if kind == "kvlist_value":
        return {pair.key: _message_value(pair.value, depth + 1) for pair in inner.values}
    return base64.b64encode(inner).decode() if kind == "bytes_value" else inner
