"""Read exports of Langfuse: observations, scores, and traces, of the blob storage or of the API.

The blob storage writes `trace_id` and the API `traceId`; an empty text is no value.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from evalkit.core.literals import Json
from evalkit.trace.tool_data import parse_value
from evalkit.traffic.assembly import TRACE_SPAN
from evalkit.traffic.exported_spans import build_exported_span, count_unknown
from evalkit.traffic.feedback_rows import make_feedback
from evalkit.traffic.field_values import as_amount, as_count, as_label, as_time_us
from evalkit.traffic.record_reader import DamagedRecord, TableRow
from evalkit.traffic.span_rows import SpanRows

_KINDS = {
    "AGENT": "agent",
    "GENERATION": "model",
    "EMBEDDING": "model",
    "TOOL": "tool",
    "RETRIEVER": "retrieval",
    "SPAN": "step",
    "EVENT": "step",
    "CHAIN": "step",
    "GUARDRAIL": "step",
    "EVALUATOR": "step",
}
_TRACE_KEYS = {
    "html_path",
    "release",
    "session_id",
    "user_id",
    "project_id",
    "bookmarked",
    "public",
}
_CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")

_OBSERVATION_KEYS = frozenset(
    [
        "id",
        "trace_id",
        "parent_observation_id",
        "type",
        "name",
        "start_time",
        "end_time",
        "completion_start_time",
        "level",
        "status_message",
        "version",
        "release",
        "environment",
        "user_id",
        "session_id",
        "tags",
        "metadata",
        "input",
        "output",
        "provided_model_name",
        "model",
        "internal_model_id",
        "usage",
        "usage_details",
        "cost_details",
        "total_cost",
        "calculated_total_cost",
        "prompt_tokens",
        "completion_tokens",
        "prompt_name",
        "latency",
        "updated_at",
        "created_at",
        "project_id",
        "trace_name",
        "tool_calls",
        "tool_call_names",
    ]
)


def _snake(record: Mapping[str, Json]) -> dict[str, Json]:
    """Return a record with its keys in snake case, without empty texts."""
    return {
        _CAPITAL.sub(lambda match: f"_{match[1].lower()}", str(key)): value
        for key, value in record.items()
        if value not in ("", None)
    }


def is_langfuse(record: Json) -> bool:
    """Return whether a record is a trace with its observations, or one observation, score, or trace."""
    if not isinstance(record, Mapping):
        return False
    if isinstance(record.get("trace"), Mapping) and isinstance(record.get("observations"), list):
        return True
    keys = set(_snake(record))
    return _is_observation(record, keys) or _is_score(keys) or _is_trace(keys)


def _is_observation(record: Mapping[str, Json], keys: set[str]) -> bool:
    return record.get("type") in _KINDS and {"id", "trace_id", "start_time"} <= keys


def _is_score(keys: set[str]) -> bool:
    return {"name", "data_type", "timestamp"} <= keys and bool(keys & {"value", "string_value"})


def _is_trace(keys: set[str]) -> bool:
    return {"id", "timestamp"} <= keys and "trace_id" not in keys and bool(keys & _TRACE_KEYS)


class LangfuseReader:
    """Reads observations as spans, scores as feedback, and a trace as the span around its observations."""

    def __init__(self, source: str) -> None:
        self.unknown_keys: Counter[str] = Counter()
        self._source = source
        self._rows = SpanRows(source)

    def read(self, record: Json) -> Iterator[TableRow]:
        """Yield the rows of a record.

        Raises:
            DamagedRecord: it is no record of Langfuse.
        """
        if not is_langfuse(record):
            raise DamagedRecord("no observation, score, or trace of Langfuse")
        if "observations" in record:
            trace = record.get("trace") or record
            yield from self._read_trace(_snake(trace))
            for observation in record["observations"]:
                if isinstance(observation, Mapping):
                    yield from self._read_observation(_snake(observation))
            for score in [*(record.get("scores") or ()), *(trace.get("scores") or ())]:
                if isinstance(score, Mapping):
                    yield from self._read_score(_snake(score))
            return
        plain = _snake(record)
        keys = set(plain)
        if _is_observation(record, keys):
            count_unknown(plain, _OBSERVATION_KEYS, self.unknown_keys)
            yield from self._read_observation(plain)
        elif _is_score(keys):
            yield from self._read_score(plain)
        else:
            yield from self._read_trace(plain)

    def _read_trace(self, trace: Mapping[str, Any]) -> Iterator[TableRow]:
        start_us, latency_s = as_time_us(trace.get("timestamp")), as_amount(trace.get("latency"))
        end_us = None if start_us is None or latency_s is None else start_us + latency_s * 1e6
        yield from build_exported_span(
            self._rows,
            ids=(trace.get("id"), TRACE_SPAN, None),
            name=trace.get("name"),
            times=(trace.get("timestamp"), None if end_us is None else int(end_us)),
            error=None,
            attributes={"evalkit.kind": "agent", **_read_common(trace)},
            updated_at=trace.get("updated_at"),
        )

    def _read_observation(self, found: Mapping[str, Any]) -> Iterator[TableRow]:
        kind = _KINDS.get(str(found.get("type")), "step")
        attributes = {"evalkit.kind": kind, **_read_common(found), **_read_usage(found, kind)}
        if kind == "tool":
            attributes["evalkit.tool"] = found.get("name")
        start_us, first_us = (
            as_time_us(found.get(key)) for key in ("start_time", "completion_start_time")
        )
        if start_us is not None and first_us is not None and first_us >= start_us:
            attributes["gen_ai.response.time_to_first_chunk"] = (first_us - start_us) / 1e6
        failed = found.get("level") == "ERROR"
        yield from build_exported_span(
            self._rows,
            ids=(found.get("trace_id"), found.get("id"), found.get("parent_observation_id")),
            name=found.get("name"),
            times=(found.get("start_time"), found.get("end_time")),
            error=str(found.get("status_message") or "") if failed else None,
            attributes=attributes,
            updated_at=found.get("updated_at"),
        )

    def _read_score(self, score: Mapping[str, Any]) -> Iterator[TableRow]:
        is_text = score.get("data_type") in ("TEXT", "CATEGORICAL")
        time_us = as_time_us(score.get("timestamp") or score.get("created_at"))
        if time_us is None:
            raise DamagedRecord("a score without a time")
        yield (
            "feedback",
            make_feedback(
                source=self._source,
                trace_id=score.get("trace_id"),
                span_id=score.get("observation_id"),
                session=score.get("session_id"),
                time_us=time_us,
                name=score.get("name"),
                rater=score.get("source", "API"),
                # Of a text, the value is 0 whatever it says.
                value=None if is_text else score.get("value"),
                label=score.get("string_value") or (score.get("value") if is_text else None),
                comment=score.get("comment"),
                feedback_id=score.get("id"),
                updated_us=as_time_us(score.get("updated_at")),
            ),
        )


def _read_common(found: Mapping[str, Any]) -> dict[str, Json]:
    metadata = parse_value(found.get("metadata"))
    tags = parse_value(found.get("tags"))
    return {
        "evalkit.arguments": found.get("input"),
        "evalkit.result": found.get("output"),
        "evalkit.user_id": found.get("user_id"),
        "evalkit.session_id": found.get("session_id"),
        "langfuse.release": found.get("release"),
        "langfuse.version": found.get("version"),
        "langfuse.environment": found.get("environment"),
        "metadata": metadata if isinstance(metadata, Mapping) else None,
        "tags": tags if isinstance(tags, list) else None,
    }


def _read_usage(found: Mapping[str, Any], kind: str) -> dict[str, Json]:
    if kind != "model":
        return {}
    details = parse_value(found.get("usage_details"))
    details = details if isinstance(details, Mapping) else {}
    usage = parse_value(found.get("usage"))
    usage = usage if isinstance(usage, Mapping) else {}
    costs = parse_value(found.get("cost_details"))
    total = costs.get("total") if isinstance(costs, Mapping) else None
    # The parts of the details exclude each other, and have names such as `input_cached_tokens`.
    sums: dict[str, int] = {}
    for key, count in details.items():
        number, words = as_count(count), str(key).lower()
        if number is not None and words != "total":
            side = "output" if words.startswith(("output", "completion")) else "input"
            sums[side] = sums.get(side, 0) + number
            if "cache_read" in words or "cached" in words:
                sums["cached"] = sums.get("cached", 0) + number
    given = {
        "input": found.get("prompt_tokens", usage.get("input", usage.get("promptTokens"))),
        "output": found.get(
            "completion_tokens", usage.get("output", usage.get("completionTokens"))
        ),
    }
    cost = found.get("total_cost", found.get("calculated_total_cost", total))
    return {
        "evalkit.model": as_label(found.get("provided_model_name") or found.get("model")),
        "evalkit.input_tokens": sums.get("input", as_count(given["input"])),
        "evalkit.output_tokens": sums.get("output", as_count(given["output"])),
        "gen_ai.usage.cache_read.input_tokens": sums.get("cached"),
        # No price is 0 there, too.
        "evalkit.cost_usd": as_amount(cost) or None,
        "evalkit.prompt": found.get("prompt_name"),
    }
