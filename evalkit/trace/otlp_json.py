"""Read OTLP JSON, already parsed: spans as payloads, and log records."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from evalkit.core.literals import Json
from evalkit.trace.events import SpanStatus, read_outcome
from evalkit.trace.recording import SpanPayload

TRACE_ATTRIBUTE = "evalkit.trace.id"
"""The resource attribute with a trial's trace id, for SDKs that start a trace id of their own."""

STATUSES: Mapping[object, SpanStatus] = {
    1: "ok",
    "STATUS_CODE_OK": "ok",
    2: "error",
    "STATUS_CODE_ERROR": "error",
}
"""The values of `opentelemetry.proto.trace.v1.Status.StatusCode`; any other is unset."""

MAX_DEPTH = 32
"""Levels of nested attribute values that are read; deeper ones become None."""

IS_REMOTE = 0x200
"""The flag of a span whose parent is in another process: `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK`."""

_CALLED_KINDS = (2, 5, "SPAN_KIND_SERVER", "SPAN_KIND_CONSUMER")
"""The kinds of spans that another process calls."""


class ReceivedEvent(NamedTuple):
    """An event of a span, or a log record: its name, its time in ns since 1970, and its attributes."""

    name: str
    time_ns: int
    attributes: Mapping[str, Json]


class ReceivedSpan(NamedTuple):
    """A span payload, and the ids of two traces: the span's own, and the one that its resource names.

    `resource` has the attributes of the resource. `has_remote_parent` says that the parent is in another
    process. `has_status` says that the span reports success. `is_open` says that it has no end.
    """

    trace_id: str
    resource_trace_id: str
    payload: SpanPayload
    resource: Mapping[str, Json]
    events: Sequence[ReceivedEvent]
    has_remote_parent: bool
    has_status: bool
    is_open: bool


class ReceivedLog(NamedTuple):
    """A log record, and the ids of the trace and the span that it belongs to; both may be empty."""

    trace_id: str
    span_id: str
    event: ReceivedEvent
    resource: Mapping[str, Json]


def make_received_span(  # noqa: PLR0913 - the parts of one record
    trace_id: str,
    payload: SpanPayload,
    resource: Mapping[str, Json],
    events: Sequence[ReceivedEvent],
    *,
    has_remote_parent: bool,
    outcome: tuple[object, str, Mapping[str, Json]],
) -> ReceivedSpan:
    """Return a span from its parts; `outcome` is the code and message of the status, and the attributes."""
    code, message, attributes = outcome
    status = STATUSES.get(code, "unset")
    is_open = not payload["end_ns"]
    payload["end_ns"] = max(payload["end_ns"], payload["start_ns"])
    named = [(event.name, event.attributes) for event in events]
    payload |= read_outcome(status, message, named, attributes)
    named_trace = str(resource.get(TRACE_ATTRIBUTE, ""))
    return ReceivedSpan(
        trace_id, named_trace, payload, resource, events, has_remote_parent, status == "ok", is_open
    )


def read_json_spans(export: Mapping[str, Any]) -> Iterator[ReceivedSpan]:
    """Yield the spans of one export; also under `batches`, the name of Grafana Tempo.

    Raises:
        ValueError, TypeError, AttributeError, KeyError, RecursionError: it is not OTLP JSON.
    """
    for resource in export.get("resourceSpans") or export.get("batches") or ():
        attributes = read_json_attributes((resource.get("resource") or {}).get("attributes"))
        scopes = resource.get("scopeSpans") or resource.get("instrumentationLibrarySpans")
        for scope in scopes or ():
            name = str((scope.get("scope") or {}).get("name") or "")
            for span in scope.get("spans") or ():
                yield _read_json_span(span, name, attributes)


def read_json_logs(export: Mapping[str, Any]) -> Iterator[ReceivedLog]:
    """Yield the log records of one export that have the name of an event.

    Raises:
        ValueError, TypeError, AttributeError, KeyError, RecursionError: it is not OTLP JSON.
    """
    for resource in export.get("resourceLogs") or ():
        common = read_json_attributes((resource.get("resource") or {}).get("attributes"))
        for scope in resource.get("scopeLogs") or ():
            for record in scope.get("logRecords") or ():
                attributes = read_json_attributes(record.get("attributes"))
                name = str(record.get("eventName") or attributes.get("event.name") or "")
                if not name:
                    continue
                body = read_json_value(record.get("body"))
                if isinstance(body, Mapping):
                    attributes = {**body, **attributes}
                time_ns = int(record.get("timeUnixNano") or record.get("observedTimeUnixNano") or 0)
                event = ReceivedEvent(name, time_ns, attributes)
                trace, span = to_hex(record.get("traceId")), to_hex(record.get("spanId"))
                yield ReceivedLog(trace, span, event, common)


def _read_json_span(
    span: Mapping[str, Any], scope: str, resource: Mapping[str, Json]
) -> ReceivedSpan:
    status = span.get("status") or {}
    payload: SpanPayload = {
        "id": to_hex(span["spanId"]),
        "parent": to_hex(span.get("parentSpanId")),
        "name": str(span.get("name", "")),
        "scope": scope,
        "start_ns": int(span["startTimeUnixNano"]),
        "end_ns": int(span.get("endTimeUnixNano") or 0),
    }
    return make_received_span(
        to_hex(span.get("traceId")),
        payload,
        resource,
        [_read_json_event(event) for event in span.get("events") or ()],
        has_remote_parent=bool(int(span.get("flags") or 0) & IS_REMOTE)
        or span.get("kind") in _CALLED_KINDS,
        outcome=(
            status.get("code"),
            str(status.get("message") or ""),
            read_json_attributes(span.get("attributes")),
        ),
    )


def _read_json_event(event: Mapping[str, Any]) -> ReceivedEvent:
    time_ns = int(event.get("timeUnixNano") or 0)
    return ReceivedEvent(
        str(event.get("name")), time_ns, read_json_attributes(event.get("attributes"))
    )


def to_hex(value: object) -> str:
    """Return an id in hexadecimal.

    OTLP/JSON demands hexadecimal, but some exporters use the JSON mapping of protobuf: base64.

    Raises:
        ValueError: it is neither.
    """
    if not value:
        return ""
    text = str(value)
    if len(text) in (16, 32):
        return text.lower()
    return base64.b64decode(text, validate=True).hex()


def read_json_attributes(pairs: Iterable[Mapping[str, Any]] | None) -> dict[str, Json]:
    """Return attributes by name, each as plain JSON."""
    return {str(pair["key"]): read_json_value(pair.get("value")) for pair in pairs or ()}


def read_json_value(value: Mapping[str, Any] | None, depth: int = 0) -> Json:
    """Return the plain JSON of an `AnyValue`."""
    if not value or depth > MAX_DEPTH:
        return None
    ((kind, inner),) = value.items()
    if kind == "intValue":
        return int(inner)
    if kind == "arrayValue":
        return [read_json_value(item, depth + 1) for item in inner.get("values") or ()]
    if kind == "kvlistValue":
        return {
            str(pair["key"]): read_json_value(pair.get("value"), depth + 1)
            for pair in inner.get("values") or ()
        }
    return inner
