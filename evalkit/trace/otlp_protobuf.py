"""Read OTLP protobuf messages: spans as payloads, and log records."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import Any

from evalkit.core.literals import Json
from evalkit.trace.otlp_json import (
    IS_REMOTE,
    MAX_DEPTH,
    ReceivedEvent,
    ReceivedLog,
    ReceivedSpan,
    make_received_span,
)
from evalkit.trace.recording import SpanPayload


def read_protobuf_spans(data: bytes) -> Iterator[ReceivedSpan]:
    """Yield the spans of one `ExportTraceServiceRequest`, or of a `TracesData`, which is the same.

    Raises:
        ValueError: it is not such a message.
    """
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
        raise ValueError(str(error)) from None
    for resource in export.resource_spans:
        attributes = _read_attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield _read_span(span, scope.scope.name, attributes)


def read_protobuf_logs(data: bytes) -> Iterator[ReceivedLog]:
    """Yield the log records of one `ExportLogsServiceRequest` that have the name of an event.

    Raises:
        ValueError: it is not such a message.
    """
    from google.protobuf.message import (  # noqa: PLC0415 - as above
        DecodeError,
    )
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (  # noqa: PLC0415
        ExportLogsServiceRequest,
    )

    try:
        export = ExportLogsServiceRequest.FromString(data)
    except DecodeError as error:
        raise ValueError(str(error)) from None
    for resource in export.resource_logs:
        common = _read_attributes(resource.resource.attributes)
        for record in (each for scope in resource.scope_logs for each in scope.log_records):
            attributes = _read_attributes(record.attributes)
            name = str(getattr(record, "event_name", "") or attributes.get("event.name") or "")
            body = _read_value(record.body)
            if isinstance(body, dict):
                attributes = {**body, **attributes}
            if name:
                time_ns = record.time_unix_nano or record.observed_time_unix_nano
                event = ReceivedEvent(name, time_ns, attributes)
                yield ReceivedLog(record.trace_id.hex(), record.span_id.hex(), event, common)


def _read_span(span: Any, scope: str, resource: dict[str, Json]) -> ReceivedSpan:
    payload: SpanPayload = {
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "name": span.name,
        "scope": scope,
        "start_ns": span.start_time_unix_nano,
        "end_ns": span.end_time_unix_nano,
    }
    return make_received_span(
        span.trace_id.hex(),
        payload,
        resource,
        [
            ReceivedEvent(event.name, event.time_unix_nano, _read_attributes(event.attributes))
            for event in span.events
        ],
        has_remote_parent=bool(span.flags & IS_REMOTE) or span.kind in (2, 5),
        outcome=(span.status.code, span.status.message, _read_attributes(span.attributes)),
    )


def _read_attributes(pairs: Iterable[Any]) -> dict[str, Json]:
    return {pair.key: _read_value(pair.value) for pair in pairs}


def _read_value(value: Any, depth: int = 0) -> Json:
    kind = value.WhichOneof("value")
    if kind is None or depth > MAX_DEPTH:
        return None
    inner = getattr(value, kind)
    if kind == "array_value":
        return [_read_value(item, depth + 1) for item in inner.values]
    if kind == "kvlist_value":
        return {pair.key: _read_value(pair.value, depth + 1) for pair in inner.values}
    return base64.b64encode(inner).decode() if kind == "bytes_value" else inner
