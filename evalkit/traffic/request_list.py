"""Find single requests in stored traffic, such as the failed ones of a version that called a tool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evalkit.core.format import format_count, format_duration, format_value
from evalkit.core.safe_text import format_json
from evalkit.report.screen import Cell, Screen, join_sections
from evalkit.traffic.dimensions import read_filters
from evalkit.traffic.fitted_columns import Column, fit_columns
from evalkit.traffic.table import open_traffic

_SHOWN_CHARS = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedRequest:
    """A request: its id, start in ISO 8601, what it was about, and what it took. None is unknown."""

    request_id: str
    ts: str
    version: str | None
    ok: bool | None
    error_type: str | None
    latency_s: float | None
    cost_usd: float | None
    tools: tuple[str, ...]
    input: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestList:
    """The newest requests that fulfil the conditions, and how many do so in total."""

    requests: tuple[ListedRequest, ...]
    total: int


def find_requests(
    folder: Path, conditions: Sequence[str], *, failed: bool, limit: int
) -> RequestList:
    """Return the newest requests that fulfil conditions such as `tool=refund`, and only failed ones.

    Raises:
        InvalidInput: there is no such store, or a condition is not valid.
    """
    condition = read_filters(conditions)
    if failed:
        condition = f"{condition} and not ok"
    with open_traffic(folder) as connection:
        rows = connection.execute(
            "select request_id, ts, version, ok, error_type, latency_ms / 1000, cost_usd, "  # noqa: S608
            "coalesce(tools, []), input, count(*) over () from requests "
            f"where {condition} order by ts desc, request_id limit {limit}"
        ).fetchall()
    return RequestList(
        requests=tuple(_read_row(row) for row in rows), total=rows[0][-1] if rows else 0
    )


def _read_row(row: tuple[Any, ...]) -> ListedRequest:
    request_id, ts, version, ok, error_type, latency_s, cost_usd, tools, asked, _ = row
    return ListedRequest(
        request_id=request_id,
        ts=f"{ts.isoformat(timespec='milliseconds')}Z",
        version=version,
        ok=ok,
        error_type=error_type,
        latency_s=latency_s,
        cost_usd=cost_usd,
        tools=tuple(tools),
        input=asked,
    )


def request_list_json(found: RequestList) -> str:
    """Return the requests as JSON."""
    return format_json({"schema": "evalkit.traffic_list/v1", **asdict(found)})


def request_list_text(found: RequestList, screen: Screen) -> str:
    """Return a line for each request."""
    requests = found.requests
    columns = [
        Column(0, "request", [Cell(each.request_id) for each in requests]),
        Column(0, "UTC", [Cell(each.ts[5:19].replace("T", " ")) for each in requests]),
        Column(2, "version", [Cell(each.version or "") for each in requests]),
        Column(0, "result", [_outcome_cell(each) for each in requests]),
        Column(1, "latency", [Cell(_latency_text(each)) for each in requests], is_number=True),
        Column(0, "cost", [Cell(_cost_text(each)) for each in requests], is_number=True),
        Column(3, "input", [Cell((each.input or "")[:_SHOWN_CHARS], "dim") for each in requests]),
    ]
    # An id that is cut is of no use.
    table = fit_columns(columns, screen, least=columns[0].width) if requests else []
    shown = format_count(found.total, "request")
    more = f"; the newest {len(requests):,} are listed" if found.total > len(requests) else ""
    return join_sections([table, screen.fold(f"{shown}{more}")])


def _outcome_cell(request: ListedRequest) -> Cell:
    if request.ok is None:
        return Cell("unknown", "dim")
    return Cell("ok") if request.ok else Cell(request.error_type or "error", "bad")


def _latency_text(request: ListedRequest) -> str:
    return "" if request.latency_s is None else format_duration(request.latency_s)


def _cost_text(request: ListedRequest) -> str:
    return "" if request.cost_usd is None else format_value(request.cost_usd, "usd")
