"""Turn the spans of one trace into one row of the table requests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from evalkit.traffic.columns import Row
from evalkit.traffic.trace_calls import (
    SpanFacts,
    count_failed,
    drop_enclosed,
    find_tools,
    find_usage,
)

TRACE_SPAN = "trace"
"""The id of the span of a whole trace, in formats with traces and spans."""

MESSAGES_SPAN = "messages"
"""The name of the step that has the messages of its parent, if these come from logs."""

_AGENT_KINDS = ("agent", "model", "tool", "retrieval")
_CALL_KINDS = ("agent", "model")

_SETUP = "create_agent"
"""The operation of a span in which an agent is set up and asked nothing."""


class Trace(NamedTuple):
    """The spans of a trace by start, its root, and whether that is really the root."""

    spans: Sequence[SpanFacts]
    root: SpanFacts
    is_complete: bool


def assemble_requests(spans: Iterable[SpanFacts]) -> Iterator[tuple[str, int, str, Row | None]]:
    """Yield the id, start in microseconds, root span, and request of each trace.

    `spans` are ordered by request. A trace in which no model, agent, or tool was called and nothing was
    answered, such as a health check, is no request.
    """
    for request_id, group in groupby(spans, key=attrgetter("request_id")):
        trace = _find_root(sorted(group, key=lambda span: (span.start_ns, -(span.end_ns or 0))))
        start_us = trace.root.start_ns // 1000
        is_request = trace.root.output is not None or any(
            span.kind in _AGENT_KINDS and not (span.name or "").startswith(_SETUP)
            for span in trace.spans
        )
        row = _build_request(trace, start_us) if is_request else None
        yield request_id, start_us, trace.root.span_id, row


def _find_root(spans: Sequence[SpanFacts]) -> Trace:
    """Return a trace with its root: without a parent, else with one in another process.

    Without either, the earliest span that has no parent here takes its place, and the trace is incomplete.
    """
    ids = {span.span_id for span in spans}
    tops = [span for span in spans if span.parent_id is None or span.parent_id not in ids]
    tops = tops or list(spans)
    roots = [span for span in tops if span.parent_id is None]
    roots.sort(key=lambda span: span.span_id != TRACE_SPAN)
    roots = roots or [span for span in tops if span.remote_parent]
    root = roots[0] if roots else tops[0]
    if root.span_id == TRACE_SPAN:
        root = _close_trace(root, [span for span in tops if span is not root], spans)
    return Trace(spans, root, bool(roots) and bool(root.end_ns))


def _close_trace(
    root: SpanFacts, tops: Sequence[SpanFacts], spans: Sequence[SpanFacts]
) -> SpanFacts:
    """Return the span of a whole trace with the end and the outcome of the spans in it."""
    ends = [span.end_ns for span in spans if span is not root and span.end_ns]
    end_ns = max(ends, default=root.end_ns)
    failed = next((span for span in tops if span.status == "error"), None)
    if failed is None:
        return msgspec.structs.replace(root, end_ns=end_ns)
    return msgspec.structs.replace(
        root,
        end_ns=end_ns,
        status="error",
        error_type=failed.error_type,
        error_text=failed.error_text,
    )


def _build_request(trace: Trace, start_us: int) -> Row:
    root, spans = trace.root, trace.spans
    calls = find_usage(spans)
    tools = find_tools(spans)
    cost_usd, cost_from = _add_costs(root, calls)
    logged = [span for span in spans if span.name == MESSAGES_SPAN]
    answer = root.output or _find_answer(spans) or _last(calls, "output") or _last(logged, "output")
    question = root.input or _first(calls, "input") or _first(spans, "input")
    failed = _find_failure(trace, answer)
    version, version_from = next(
        ((each.version, each.version_from) for each in (root, *spans) if each.version),
        (None, None),
    )
    row: dict[str, Any] = {
        "request_id": root.request_id,
        "source": root.source,
        "import_id": root.import_id,
        "ts": start_us,
        "version": version,
        "version_from": version_from,
        "model": _last(calls, "model") or _last(spans, "model"),
        "name": root.name,
        "input": question,
        "output": answer,
        "latency_ms": _measure_ms(trace),
        "ttft_ms": root.ttft_ms if root.ttft_ms is not None else _find_first_token(root, spans),
        "ok": False if failed else _find_success(trace, answer),
        "error_type": (failed.error_type or "error") if failed else None,
        "error_text": failed.error_text if failed else None,
        "input_tokens": _sum(calls, "input_tokens"),
        "output_tokens": _sum(calls, "output_tokens"),
        "cached_tokens": _sum(calls, "cached_tokens"),
        "cost_usd": cost_usd,
        "cost_from": cost_from,
        "tools": [span.tool or span.name for span in tools],
        "tool_errors": count_failed(tools, spans),
        "escalated": _any_flag(spans, "escalated"),
        "resolved": _any_flag(spans, "resolved"),
        "incomplete": not trace.is_complete,
        "sampling_p": _first((root, *spans), "sampling_p"),
        "input_hash": hash_input(question),
        "updated_at": max((span.updated_us for span in spans if span.updated_us), default=None),
    }
    for field in ("user", "session", "variant", "environment"):
        row[field] = _first((root, *spans), field)
    if row["escalated"] is not None:
        row["escalated_from"] = "attribute"
    return {name: value for name, value in row.items() if value is not None}


def _find_answer(spans: Sequence[SpanFacts]) -> str | None:
    """Return what the last of the outermost agents answered."""
    answer: str | None = _last(
        drop_enclosed([s for s in spans if s.kind == "agent"], spans), "output"
    )
    return answer


def _find_failure(trace: Trace, answer: str | None) -> SpanFacts | None:
    """Return the span whose error is that of the request; None if it did not fail.

    A web server reports only a status of HTTP, which the last call inside explains. Some libraries
    report success for a run that ended with an error: without an answer, the last call decides.
    """
    root = trace.root
    if root.status != "error" and answer is not None:
        return None
    calls = [span for span in trace.spans if span.kind in _CALL_KINDS and span is not root]
    cause = calls[-1] if calls and calls[-1].status == "error" else None
    if root.status == "error":
        is_plain = root.error_type in (None, "error") or (root.error_type or "").isdigit()
        return cause if cause and is_plain else root
    return cause


def _find_success(trace: Trace, answer: str | None) -> bool | None:
    """Return True for a trace without a failure that succeeded; None if that is unknown.

    A root that leaves its status open succeeded only if there is an answer. Without a root, the request may
    have crashed after a part of the answer.
    """
    is_answered = trace.root.status == "ok" or bool(answer)
    return True if trace.is_complete and is_answered else None


def hash_input(text: str | None) -> str | None:
    """Return a digest that is equal for inputs that differ only in case and spaces."""
    if not text:
        return None
    plain = " ".join(text.casefold().split())
    return hashlib.sha256(plain.encode()).hexdigest()[:16]


def _add_costs(root: SpanFacts, calls: Sequence[SpanFacts]) -> tuple[float | None, str]:
    """Return the cost of a request and its origin. The sum is unknown if the cost of one call is."""
    paid = [call for call in calls if call.input_tokens or call.output_tokens or call.cost_usd]
    costs = [call.cost_usd for call in paid if call.cost_usd is not None]
    if paid and len(costs) == len(paid):
        is_source = all(call.cost_from == "source" for call in paid)
        return sum(costs), "source" if is_source else "computed"
    if root.cost_usd is not None and root.cost_from == "source":
        return root.cost_usd, "source"
    return None, "none"


def _measure_ms(trace: Trace) -> float | None:
    root = trace.root
    if not trace.is_complete or root.end_ns is None:
        return None
    return (root.end_ns - root.start_ns) / 1e6


def _find_first_token(root: SpanFacts, spans: Sequence[SpanFacts]) -> float | None:
    """Return the time from the start of the request to the first token of its last model call."""
    for span in reversed(spans):
        if span.kind == "model" and span.ttft_ms is not None:
            return (span.start_ns - root.start_ns) / 1e6 + span.ttft_ms
    return None


def _sum(spans: Sequence[SpanFacts], field: str) -> int | None:
    values = [getattr(span, field) for span in spans]
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _first(spans: Iterable[SpanFacts], field: str) -> Any:
    return next((value for span in spans if (value := getattr(span, field)) is not None), None)


def _last(spans: Sequence[SpanFacts], field: str) -> Any:
    return _first(reversed(spans), field)


def _any_flag(spans: Sequence[SpanFacts], field: str) -> bool | None:
    flags = [flag for span in spans if (flag := getattr(span, field)) is not None]
    return any(flags) if flags else None
