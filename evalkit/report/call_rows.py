"""Lay out the calls of a run by tool and by model as rows."""

from __future__ import annotations

from collections.abc import Iterable

from evalkit.compare.call_stats import CallStats
from evalkit.report.content import NO_VALUE, value_cell

CALL_TITLES = ("", "calls", "failed", "p50", "p95", "p99", "used")


def call_rows(stats: Iterable[CallStats]) -> list[tuple[str, ...]]:
    """Return a row under `CALL_TITLES` for each tool and model."""
    rows = []
    for calls in stats:
        used = []
        if calls.input_tokens is not None or calls.output_tokens is not None:
            used.append(f"{(calls.input_tokens or 0) + (calls.output_tokens or 0):,} tokens")
        if calls.cost_usd is not None:
            used.append(value_cell(calls.cost_usd, "usd"))
        rows.append(
            (
                f"{calls.kind} {calls.name}",
                f"{calls.calls:,}",
                value_cell(calls.error_rate, ""),
                *(value_cell(value, "s") for value in (calls.p50_s, calls.p95_s, calls.p99_s)),
                ", ".join(used) or NO_VALUE,
            )
        )
    return rows
