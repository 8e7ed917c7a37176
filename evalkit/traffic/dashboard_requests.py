"""List the requests that deserve a look, without any text of their users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.core.format import format_value
from evalkit.traffic.dashboard_records import NotableRequest
from evalkit.traffic.dimensions import UNVERSIONED

if TYPE_CHECKING:
    import duckdb

MAX_PER_REASON = 60
_PER_ERROR = 10
"""The newest requests of each type of error and version come first, so that no frequent type hides others."""

_REASONS = {
    "failed": ("failed", f"place > {_PER_ERROR}, ts desc"),
    "slow": (
        "latency_s > 0 and latency_s >= (select quantile_cont(latency_s, 0.95) from facts)",
        "latency_s desc",
    ),
    "rated bad": ("not good", "ts desc"),
    "costly": (
        "cost_usd > 0 and cost_usd >= (select quantile_cont(cost_usd, 0.99) from facts)",
        "cost_usd desc",
    ),
}
"""Why a request is listed: the condition in SQL over `facts`, and which ones come first."""


def list_notable_requests(connection: duckdb.DuckDBPyConnection) -> tuple[NotableRequest, ...]:
    """Return failed, slow, badly rated, and costly requests of the table `facts`, the newest first."""
    chosen = " union all ".join(
        f"select * from (select request_id, '{reason}' as reason from placed where {condition} "  # noqa: S608
        f"order by {order}, request_id limit {MAX_PER_REASON})"
        for reason, (condition, order) in _REASONS.items()
    )
    rows = connection.execute(
        "with placed as (select *, row_number() over "  # noqa: S608 - of constants
        "(partition by version, error_type, failed order by ts desc) as place from facts), "
        f"reasons as (select request_id, list(reason) as reasons from ({chosen}) group by request_id) "
        "select request_id, ts, reasons, latency_s, cost_usd, error_type, version, model, variant, "
        "environment, list_distinct(coalesce(tools, [])) from facts join reasons using (request_id) "
        "order by ts desc, request_id"
    ).fetchall()
    return tuple(map(_read_row, rows))


def _read_row(row: tuple[object, ...]) -> NotableRequest:
    request_id, ts, reasons, latency, cost, error, version, model, variant, environment, tools = row
    single = {"model": model, "variant": variant, "environment": environment}
    return NotableRequest(
        request_id=str(request_id),
        time=f"{ts:%Y-%m-%d %H:%M:%S}",
        values={
            "version": (str(version or UNVERSIONED),),
            **{name: (str(value),) for name, value in single.items() if value is not None},
            "tool": tuple(sorted(tools)),  # type: ignore[call-overload]
        },
        reasons=tuple(reason for reason in _REASONS if reason in reasons),  # type: ignore[operator]
        latency=format_value(latency, "s") if isinstance(latency, float) else "",
        cost=format_value(cost, "usd") if isinstance(cost, float) else "",
        error=str(error or ""),
    )
