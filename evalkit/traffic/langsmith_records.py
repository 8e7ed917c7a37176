"""Read exports of LangSmith: runs and feedback, of the API or of a bulk export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from evalkit.core.literals import Json
from evalkit.trace.tool_data import parse_value
from evalkit.traffic.exported_spans import build_exported_span, count_unknown
from evalkit.traffic.feedback_rows import make_feedback
from evalkit.traffic.field_values import as_amount, as_label, as_time_us
from evalkit.traffic.record_reader import DamagedRecord, TableRow
from evalkit.traffic.span_rows import SpanRows

_KINDS = {"llm": "model", "embedding": "model", "tool": "tool", "retriever": "retrieval"}

_RUN_KEYS = frozenset(
    [
        "id",
        "trace_id",
        "parent_run_id",
        "parent_run_ids",
        "dotted_order",
        "run_type",
        "name",
        "status",
        "error",
        "start_time",
        "end_time",
        "inputs",
        "outputs",
        "extra",
        "tags",
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "total_cost",
        "prompt_cost",
        "completion_cost",
        "first_token_time",
        "session_id",
        "child_runs",
        "child_run_ids",
        "modified_at",
        "serialized",
        "events",
    ]
)


def is_langsmith(record: Json) -> bool:
    """Return whether a record is a run or a feedback."""
    if not isinstance(record, Mapping):
        return False
    return {"id", "run_type"} <= record.keys() or {"run_id", "key"} <= record.keys()


class LangSmithReader:
    """Reads runs as spans, and feedback."""

    def __init__(self, source: str) -> None:
        self.unknown_keys: Counter[str] = Counter()
        self._source = source
        self._rows = SpanRows(source)

    def read(self, record: Json) -> Iterator[TableRow]:
        """Yield the rows of a run with the runs inside it, or of a feedback.

        Raises:
            DamagedRecord: it is neither.
        """
        if not is_langsmith(record):
            raise DamagedRecord("no run and no feedback of LangSmith")
        if "run_type" not in record:
            yield self._read_feedback(record)
            return
        count_unknown(record, _RUN_KEYS, self.unknown_keys)
        runs = [record]
        while runs:
            run = runs.pop()
            yield from self._read_run(run)
            children = run.get("child_runs")
            runs += [each for each in children or () if isinstance(each, Mapping)]

    def _read_run(self, run: Mapping[str, Any]) -> Iterator[TableRow]:
        parent = as_label(run.get("parent_run_id"))
        kind = _KINDS.get(str(run.get("run_type")), "step" if parent else "agent")
        failed = run.get("error") or run.get("status") == "error"
        yield from build_exported_span(
            self._rows,
            ids=(run.get("trace_id") or run.get("id"), run.get("id"), parent),
            name=run.get("name"),
            times=(run.get("start_time"), run.get("end_time")),
            error=str(run.get("error") or "") if failed else None,
            attributes=_read_attributes(run, kind),
            updated_at=run.get("modified_at") or run.get("end_time"),
        )

    def _read_feedback(self, found: Mapping[str, Any]) -> TableRow:
        time_us = as_time_us(found.get("created_at") or found.get("modified_at"))
        if time_us is None:
            raise DamagedRecord("a feedback without a time")
        origin = parse_value(found.get("feedback_source"))
        value = found.get("value")
        row = make_feedback(
            source=self._source,
            trace_id=found.get("trace_id"),
            span_id=found.get("run_id"),
            time_us=time_us,
            name=found.get("key"),
            rater=origin.get("type") if isinstance(origin, Mapping) else None,
            value=found.get("score"),
            label=value if isinstance(value, str) else None,
            comment=found.get("comment"),
            feedback_id=found.get("id"),
            updated_us=as_time_us(found.get("modified_at")),
        )
        return "feedback", row


def _read_attributes(run: Mapping[str, Any], kind: str) -> dict[str, Json]:
    extra = parse_value(run.get("extra"))
    extra = extra if isinstance(extra, Mapping) else {}
    metadata = extra.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    invocation = extra.get("invocation_params")
    invocation = invocation if isinstance(invocation, Mapping) else {}
    attributes: dict[str, Json] = {
        "evalkit.kind": kind,
        "evalkit.arguments": parse_value(run.get("inputs")),
        "evalkit.result": parse_value(run.get("outputs")),
        "evalkit.version": metadata.get("revision_id"),
        # `session_id` of a run is its project; a conversation is in the metadata.
        "metadata": metadata,
        "tags": parse_value(run.get("tags")),
    }
    if kind == "tool":
        attributes["evalkit.tool"] = run.get("name")
    if kind == "model":
        # The runs around a call repeat its tokens.
        attributes |= {
            "evalkit.model": metadata.get("ls_model_name")
            or invocation.get("model")
            or invocation.get("model_name"),
            "gen_ai.provider.name": metadata.get("ls_provider"),
            "evalkit.input_tokens": run.get("prompt_tokens"),
            "evalkit.output_tokens": run.get("completion_tokens"),
            "evalkit.cost_usd": as_amount(run.get("total_cost")) or None,
        }
        start_us, first_us = (
            as_time_us(run.get("start_time")),
            as_time_us(run.get("first_token_time")),
        )
        if start_us is not None and first_us is not None and first_us >= start_us:
            attributes["gen_ai.response.time_to_first_chunk"] = (first_us - start_us) / 1e6
    return attributes
