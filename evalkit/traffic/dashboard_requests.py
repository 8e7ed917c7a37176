"""List the requests that deserve a look, and the errors, without any text of users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from evalkit.core.format import format_value
from evalkit.traffic.dashboard_records import DashboardCell, DashboardTable, ListedRequest
from evalkit.traffic.measures import facts_sql
from evalkit.traffic.request_facts import MATURITY_H, TOOL, UNVERSIONED

if TYPE_CHECKING:
    import duckdb

PER_REASON = 60
"""The most requests for each reason."""
_PER_ERROR = 10
"""The newest requests of each type of error and version, so that no frequent one hides the others."""
_MAX_ERRORS = 20
_EXAMPLE_CHARS = 160

_REASONS = {
    "failed": ("not ok", "error_rank, ts desc"),
    "slow": (
        "latency_ms > 0 and latency_ms >= (select quantile_cont(latency_ms, 0.95) from facts)",
        "latency_ms desc",
    ),
    "rated bad": ("not good", "ts desc"),
    "costly": (
        "cost_usd > 0 and cost_usd >= (select quantile_cont(cost_usd, 0.99) from facts)",
        "cost_usd desc",
    ),
}
"""Why a request is listed: the condition in SQL, and which ones come first."""


def list_requests(connection: duckdb.DuckDBPyConnection) -> tuple[ListedRequest, ...]:
    """Return failed, slow, badly rated, and costly requests, the newest first."""
    chosen = " union all ".join(
        f"select request_id, '{reason}' as reason from (select * from facts where {condition} "  # noqa: S608
        f"order by {order} limit {PER_REASON})"
        for reason, (condition, order) in _REASONS.items()
    )
    rows = connection.execute(
        f"""with facts as (select *, (row_number() over
            (partition by version, error_type, ok order by ts desc)) > {_PER_ERROR} as error_rank
          from ({facts_sql(MATURITY_H)})),
        chosen as (select request_id, list(reason) as reasons from ({chosen}) group by all)
        select request_id, ts, reasons, latency_ms, cost_usd, error_type, version, model, variant,
          environment, list_distinct(coalesce(tools, []))
        from facts join chosen using (request_id) order by ts desc, request_id"""  # noqa: S608
    ).fetchall()
    order = list(_REASONS)
    return tuple(
        ListedRequest(
            request_id=request_id,
            time=f"{ts:%b %d %H:%M:%S}",
            values={
                "version": (version or UNVERSIONED,),
                "model": (model,) if model else (),
                "variant": (variant,) if variant else (),
                "environment": (environment,) if environment else (),
                TOOL: tuple(sorted(tools)),
            },
            reasons=tuple(sorted(reasons, key=order.index)),
            latency="" if latency is None else format_value(latency / 1000, "s"),
            cost="" if cost is None else format_value(cost, "usd"),
            error=error or "",
        )
        for request_id, ts, reasons, latency, cost, error, version, model, variant, environment, tools in rows
    )


def build_error_table(
    connection: duckdb.DuckDBPyConnection, day_text: Callable[..., str]
) -> DashboardTable | None:
    """Return the types of errors, the most frequent first; None without a failed request."""
    rows: Sequence[tuple[object, ...]] = connection.execute(
        f"""select coalesce(error_type, 'error'), count(*),
          count(*) / sum(count(*)) over (), min(ts), max(ts),
          list(distinct coalesce(version, '{UNVERSIONED}') order by coalesce(version, '{UNVERSIONED}')),
          max_by(error_text, ts)
        from requests where not ok group by 1 order by 2 desc, 1"""  # noqa: S608 - a constant
    ).fetchall()
    if not rows:
        return None
    found = []
    for error, count, share, first, last, versions, example in rows[:_MAX_ERRORS]:
        text = str(example or "")
        cut = text[:_EXAMPLE_CHARS] + ("…" if len(text) > _EXAMPLE_CHARS else "")
        cells = (
            DashboardCell(f"{count:,}"),
            DashboardCell(f"{share:.1%}"),
            DashboardCell(day_text(first)),
            DashboardCell(day_text(last)),
            DashboardCell(", ".join(versions)),  # type: ignore[arg-type]
            DashboardCell(cut),
        )
        found.append((str(error), cells))
    more = len(rows) - len(found)
    return DashboardTable(
        title="Errors",
        columns=(
            "error",
            "requests",
            "share of errors",
            "first",
            "last",
            "versions",
            "newest text",
        ),
        rows=tuple(found),
        about=f"{more:,} rarer types are left out" if more else "",
    )
