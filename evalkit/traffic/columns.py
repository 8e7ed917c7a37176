"""The columns of stored traffic, with their DuckDB types: requests, spans, feedback.

Times are in UTC. Costs are in USD. NULL means unknown, and is never 0, false, or empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]
"""A row of a table: its columns by name, without those that are NULL."""

REQUEST_COLUMNS: Mapping[str, str] = {
    "request_id": "VARCHAR",
    "source": "VARCHAR",
    "import_id": "VARCHAR",
    "ts": "TIMESTAMP",
    "user": "VARCHAR",
    "session": "VARCHAR",
    "version": "VARCHAR",
    "version_from": "VARCHAR",
    "variant": "VARCHAR",
    "model": "VARCHAR",
    "environment": "VARCHAR",
    "name": "VARCHAR",
    "input": "VARCHAR",
    "output": "VARCHAR",
    "messages": "JSON",
    "latency_ms": "DOUBLE",
    "ttft_ms": "DOUBLE",
    "ok": "BOOLEAN",
    "error_type": "VARCHAR",
    "error_text": "VARCHAR",
    "input_tokens": "BIGINT",
    "output_tokens": "BIGINT",
    "cached_tokens": "BIGINT",
    "cost_usd": "DOUBLE",
    "cost_from": "VARCHAR",
    "tools": "VARCHAR[]",
    "tool_errors": "INTEGER",
    "escalated": "BOOLEAN",
    "escalated_from": "VARCHAR",
    "resolved": "BOOLEAN",
    "incomplete": "BOOLEAN",
    "sampling_p": "DOUBLE",
    "input_hash": "VARCHAR",
    "attributes": "JSON",
    "updated_at": "TIMESTAMP",
}
"""One row for each request: a trace, or a row of a log. `request_id` is `SOURCE:TRACE`.

`ts` is the start. `version_from` names the field that gave the version, and `escalated_from` the one
that gave the escalation. `ok` is false after an error that reached the caller. `input` is the last message
of the user. `messages` are all messages of the root, if there are more. `cost_from` is `source` (the file
has the cost), `computed` (from the list of known prices), or `none`. `tools` are the tools called, in
order, with repetitions. `incomplete` marks a trace without its root; its latency is NULL. `sampling_p` is
the probability with which the source kept the request. `input_hash` is equal for equal inputs."""

SPAN_COLUMNS: Mapping[str, str] = {
    "request_id": "VARCHAR",
    "span_id": "VARCHAR",
    "parent_id": "VARCHAR",
    "remote_parent": "BOOLEAN",
    "kind": "VARCHAR",
    "name": "VARCHAR",
    "start_ns": "BIGINT",
    "end_ns": "BIGINT",
    "status": "VARCHAR",
    "error_type": "VARCHAR",
    "error_text": "VARCHAR",
    "model": "VARCHAR",
    "tool": "VARCHAR",
    "arguments": "JSON",
    "result": "JSON",
    "input_tokens": "BIGINT",
    "output_tokens": "BIGINT",
    "cached_tokens": "BIGINT",
    "cost_usd": "DOUBLE",
    "cost_from": "VARCHAR",
    "ttft_ms": "DOUBLE",
    "input": "VARCHAR",
    "output": "VARCHAR",
    "user": "VARCHAR",
    "session": "VARCHAR",
    "version": "VARCHAR",
    "version_from": "VARCHAR",
    "variant": "VARCHAR",
    "environment": "VARCHAR",
    "escalated": "BOOLEAN",
    "resolved": "BOOLEAN",
    "sampling_p": "DOUBLE",
    "attributes": "JSON",
    "source": "VARCHAR",
    "import_id": "VARCHAR",
    "updated_at": "TIMESTAMP",
}
"""One row for each span. `start_ns` and `end_ns` count from 1970; `end_ns` is NULL for a span that is
open. `status` is `ok`, `error`, or `unset`. `kind` is agent, model, tool, retrieval, or step. `parent_id`
is NULL at the top; `remote_parent` says that the parent is in another process. The day of a span is the day of its request."""

FEEDBACK_COLUMNS: Mapping[str, str] = {
    "feedback_id": "VARCHAR",
    "request_id": "VARCHAR",
    "session": "VARCHAR",
    "target_span": "VARCHAR",
    "ts": "TIMESTAMP",
    "name": "VARCHAR",
    "source": "VARCHAR",
    "value": "DOUBLE",
    "label": "VARCHAR",
    "comment": "VARCHAR",
    "good": "BOOLEAN",
    "import_id": "VARCHAR",
    "updated_at": "TIMESTAMP",
}
"""One row for each rating. `source` is user, reviewer, judge, or code. `good` is NULL where the direction
of the value is unknown. `request_id` is NULL for feedback on a session. The day is that of `ts`."""

SAMPLE_COLUMNS: Mapping[str, str] = {
    "sample_id": "VARCHAR",
    "seed": "BIGINT",
    "frame_query": "VARCHAR",
    "request_id": "VARCHAR",
    "unit": "VARCHAR",
    "stratum": "VARCHAR",
    "pi": "DOUBLE",
    "purpose": "VARCHAR",
    "decided_by": "VARCHAR",
    "verdict": "VARCHAR",
}
"""One row for each request of a sample. `unit` is what was drawn: the session, or the request if it has
none. `pi` is the probability with which the unit was drawn from its stratum. `frame_query` is the SQL that
lists the requests it was drawn from. `purpose` is list, cases, or judge. `verdict` says what became of the
request: a case, or why it is none, as `decided_by` found."""

TABLES: Mapping[str, Mapping[str, str]] = {
    "requests": REQUEST_COLUMNS,
    "spans": SPAN_COLUMNS,
    "feedback": FEEDBACK_COLUMNS,
}


def select_nothing(columns: Mapping[str, str]) -> str:
    """Return SQL for an empty table with these columns."""
    typed = ", ".join(f'cast(null as {kind}) as "{name}"' for name, kind in columns.items())
    return f"select {typed} where false"
