"""The columns of stored runs as tables, in SQL and in notebooks alike.

Times are in seconds and costs in USD.
"""

from __future__ import annotations

_KEYS = ("run", "agent_version", "evalset", "case_id", "trial")
"""What the tables are joined on: the id of the run, the case, and the number of the trial from 0."""

TRIAL_COLUMNS = (
    *_KEYS,
    "state",
    "passed",
    "text",
    "latency_s",
    "first_token_s",
    "cost_usd",
    "input_tokens",
    "output_tokens",
    "attempts",
    "error_type",
    "error",
)
"""One row for each trial. `error_type` is a stable word and `error` the message; empty without an error."""

SCORE_COLUMNS = (*_KEYS, "metric", "state", "value", "passed", "explanation")
"""One row for each score of a trial. `value` is in the unit of the metric, and 0..1 for a share."""

SPAN_TABLE_COLUMNS = {
    "run": "VARCHAR",
    "agent_version": "VARCHAR",
    "evalset": "VARCHAR",
    "case_id": "VARCHAR",
    "trial": "INTEGER",
    "state": "VARCHAR",
    "passed": "BOOLEAN",
    "trial_latency_s": "DOUBLE",
    "trial_error_type": "VARCHAR",
    "id": "VARCHAR",
    "parent_id": "VARCHAR",
    "name": "VARCHAR",
    "kind": "VARCHAR",
    "start_s": "DOUBLE",
    "duration_s": "DOUBLE",
    "error_type": "VARCHAR",
    "error": "VARCHAR",
    "tool": "VARCHAR",
    "model": "VARCHAR",
    "prompt": "VARCHAR",
    "temperature": "DOUBLE",
    "input_tokens": "BIGINT",
    "output_tokens": "BIGINT",
    "cost_usd": "DOUBLE",
    "arguments": "JSON",
    "result": "JSON",
    "user_id": "VARCHAR",
    "session_id": "VARCHAR",
    "attributes": "JSON",
}
"""The columns of `spans` with their types; those before `id` belong to the trial."""
