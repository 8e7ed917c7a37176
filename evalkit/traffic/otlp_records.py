"""Read exports of OpenTelemetry: traces and logs, in JSON or protobuf, and traces of Jaeger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from evalkit.core.literals import Json
from evalkit.trace.conventions import EVALUATION_EVENT
from evalkit.trace.events import read_outcome
from evalkit.trace.otlp_json import (
    ReceivedEvent,
    ReceivedLog,
    ReceivedSpan,
    make_received_span,
    read_json_logs,
    read_json_spans,
)
from evalkit.trace.otlp_protobuf import read_protobuf_logs, read_protobuf_spans
from evalkit.traffic.assembly import MESSAGES_SPAN
from evalkit.traffic.feedback_rows import make_feedback
from evalkit.traffic.record_reader import DamagedRecord, TableRow
from evalkit.traffic.span_rows import SpanRows

_LISTS = ("resourceSpans", "resourceLogs", "batches")
_REASONS = {
    "Error": "an id is neither hex nor base64",  # binascii.Error
    "KeyError": "a required field is missing",
    "RecursionError": "it is nested too deeply",
}
"""What is wrong with a record, by the name of the error; its text may quote the file."""


def is_otlp(record: Json) -> bool:
    """Return whether a record is an export: JSON of traces or logs, a protobuf message, or of Jaeger."""
    if isinstance(record, bytes):
        return True
    if not isinstance(record, Mapping):
        return False
    return any(isinstance(record.get(name), list) for name in _LISTS) or _is_jaeger(record)


def _is_jaeger(record: Mapping[str, Any]) -> bool:
    data = record.get("data")
    return isinstance(data, list) and all(
        isinstance(trace, Mapping) and "traceID" in trace for trace in data
    )


class OtlpReader:
    """Reads one export after the other; a trace may be spread over several."""

    def __init__(self, source: str) -> None:
        self.unknown_keys: Counter[str] = Counter()
        self._source = source
        self._rows = SpanRows(source)

    def read(self, record: Json) -> Iterator[TableRow]:
        """Yield the rows of an export.

        Raises:
            DamagedRecord: it is not an export.
        """
        try:
            if isinstance(record, bytes):
                yield from self._read_message(record)
                return
            if not is_otlp(record):
                raise DamagedRecord("no resourceSpans and no resourceLogs")
            spans = _read_jaeger(record) if _is_jaeger(record) else read_json_spans(record)
            yield from self._build_spans(spans)
            yield from self._build_logs(read_json_logs(record))
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            kind = "no OTLP protobuf" if isinstance(record, bytes) else "no valid OTLP"
            reason = _REASONS.get(
                type(error).__name__, "a value has another type than in the format"
            )
            raise DamagedRecord(f"{kind}: {reason}") from None

    def _read_message(self, data: bytes) -> Iterator[TableRow]:
        # Messages of logs and of traces have the same outer form, and neither names itself.
        try:
            spans = list(read_protobuf_spans(data))
        except ValueError:
            spans = []
        if spans and all(len(span.payload["id"]) == 16 for span in spans):
            yield from self._build_spans(spans)
        else:
            logs = list(read_protobuf_logs(data))
            if not logs:
                raise ValueError("neither spans nor events")
            yield from self._build_logs(logs)

    def _build_spans(self, spans: Iterable[ReceivedSpan]) -> Iterator[TableRow]:
        for span in spans:
            if not span.trace_id or not span.payload["id"]:
                raise ValueError("a span without ids")
            row = self._rows.build(span)
            if row is None:
                continue
            yield "spans", row
            for event in span.events:
                if event.name == EVALUATION_EVENT:
                    log = ReceivedLog(span.trace_id, span.payload["id"], event, span.resource)
                    yield "feedback", self._build_feedback(log, span.payload["end_ns"])

    def _build_logs(self, logs: Iterable[ReceivedLog]) -> Iterator[TableRow]:
        messages: dict[tuple[str, str], list[ReceivedLog]] = {}
        for log in logs:
            if log.event.name == EVALUATION_EVENT:
                yield "feedback", self._build_feedback(log, 0)
            elif log.trace_id and log.span_id and log.event.name.startswith("gen_ai."):
                messages.setdefault((log.trace_id, log.span_id), []).append(log)
        for found in messages.values():
            yield from self._build_messages(found)

    def _build_messages(self, logs: Sequence[ReceivedLog]) -> Iterator[TableRow]:
        """Yield a step inside the span whose messages are in logs instead of its attributes."""
        events = [(log.event.name, log.event.attributes) for log in logs]
        attributes = read_outcome("unset", "", events, {})["attributes"]
        first = min(logs, key=lambda log: log.event.time_ns)
        payload: dict[str, Any] = {
            "id": f"{first.span_id}#{first.event.time_ns}",
            "parent": first.span_id,
            "name": MESSAGES_SPAN,
            "scope": "",
            "start_ns": first.event.time_ns,
            "end_ns": max(log.event.time_ns for log in logs),
            "error": None,
            "error_type": "",
            "attributes": {"evalkit.kind": "step", **attributes},
        }
        span = ReceivedSpan(
            first.trace_id, "", payload, first.resource, (), has_remote_parent=False,
            has_status=False, is_open=False,
        )  # fmt: skip
        row = self._rows.build(span, has_texts=True)
        if row is not None and {"input", "output"} & row.keys():
            yield "spans", row

    def _build_feedback(self, log: ReceivedLog, end_ns: int) -> dict[str, Any]:
        given = log.event.attributes
        return make_feedback(
            source=self._source,
            trace_id=log.trace_id,
            span_id=log.span_id,
            time_us=(log.event.time_ns or end_ns) // 1000,
            name=given.get("gen_ai.evaluation.name"),
            rater=given.get("gen_ai.evaluation.source", "judge"),
            value=given.get("gen_ai.evaluation.score.value"),
            label=given.get("gen_ai.evaluation.score.label"),
            comment=given.get("gen_ai.evaluation.explanation"),
        )


def _read_jaeger(record: Mapping[str, Any]) -> Iterator[ReceivedSpan]:
    for trace in record["data"]:
        processes = {
            key: {"service.name": each.get("serviceName"), **_read_tags(each.get("tags"))}
            for key, each in (trace.get("processes") or {}).items()
        }
        for span in trace["spans"]:
            yield _read_jaeger_span(span, processes)


def _read_jaeger_span(
    span: Mapping[str, Any], processes: Mapping[str, Mapping[str, Json]]
) -> ReceivedSpan:
    tags = _read_tags(span.get("tags"))
    events = []
    for log in span.get("logs") or ():
        fields = _read_tags(log.get("fields"))
        name = str(fields.pop("event", ""))
        events.append(ReceivedEvent(name, int(log.get("timestamp") or 0) * 1000, fields))
    parents = [
        each["spanID"]
        for each in span.get("references") or ()
        if each.get("refType") == "CHILD_OF" and each.get("traceID") == span["traceID"]
    ]
    start_us = int(span["startTime"])
    failed = tags.pop("error", None) in (True, "true")
    status = {"OK": 1, "ERROR": 2}.get(str(tags.pop("otel.status_code", "")), 2 if failed else 0)
    return make_received_span(
        str(span["traceID"]),
        {
            "id": str(span["spanID"]),
            "parent": str(parents[0]) if parents else "",
            "name": str(span.get("operationName", "")),
            "scope": str(tags.pop("otel.scope.name", "")),
            "start_ns": start_us * 1000,
            "end_ns": (start_us + int(span.get("duration") or 0)) * 1000,
        },
        processes.get(span.get("processID", ""), {}),
        events,
        has_remote_parent=tags.pop("span.kind", "") in ("server", "consumer"),
        outcome=(status, str(tags.pop("otel.status_description", "")), tags),
    )


def _read_tags(tags: Iterable[Mapping[str, Any]] | None) -> dict[str, Json]:
    return {str(tag["key"]): tag.get("value") for tag in tags or ()}
