"""Read what the dashboard shows besides the report: the groups within a version, and the requests to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from evalkit.traffic.dashboard import build_dashboard
from evalkit.traffic.dashboard_records import Dashboard
from evalkit.traffic.dashboard_requests import list_notable_requests
from evalkit.traffic.dimensions import DIMENSIONS, choose_groups, find_groups
from evalkit.traffic.estimates import choose_part, estimate_part, load_facts
from evalkit.traffic.report import ReportedTraffic
from evalkit.traffic.report_record import Breakdown, Group, TrafficReport
from evalkit.traffic.table import quote_text
from evalkit.traffic.timelines import build_group_timelines, choose_axis

if TYPE_CHECKING:
    import duckdb

MAX_VERSIONS = 3
"""The newest versions whose models, tools, and so on can be chosen in the filters."""


def read_dashboard(opened: ReportedTraffic, report: TrafficReport) -> Dashboard:
    """Return the dashboard of an open store and its report. The table `facts` is another one afterward."""
    connection = opened.connection
    connection.execute("create or replace temp table reported as select * from facts")
    requests = list_notable_requests(connection)
    versions = report.versions[-MAX_VERSIONS:] if len(report.versions) > 1 else ()
    within = {each.name: _read_within(connection, report, each.name) for each in versions}
    return build_dashboard(report, requests, within)


def _read_within(
    connection: duckdb.DuckDBPyConnection, report: TrafficReport, version: str
) -> TrafficReport:
    """Return the groups of each dimension within a version, with timelines on the axis of the report."""
    connection.execute(
        "create or replace temp view facts as select * from reported "  # noqa: S608 - quoted
        f"where {DIMENSIONS['version']} = {quote_text(version)}"
    )
    start, end = (
        datetime.fromisoformat(each).replace(tzinfo=None) for each in (report.start, report.end)
    )
    dimensions = [
        find_groups(connection, each.by)
        for each in report.breakdowns
        if each.by in DIMENSIONS and each.by not in ("version", "day") and len(each.groups) > 1
    ]

    if not dimensions:
        return replace(report, timelines=(), breakdowns=())
    facts = load_facts(connection)

    def list_groups(by: str) -> Iterator[Group]:
        dimension = next(each for each in dimensions if each.by == by)
        masks = choose_groups(connection, dimension)
        for found in dimension.groups:
            part = choose_part(facts, masks[found.name])
            yield Group(
                name=found.name,
                requests=found.requests,
                users=part.user_count,
                first=report.start,
                last=report.end,
                estimates=tuple(estimate_part(facts, part)),
                errors=found.errors,
            )

    return replace(
        report,
        timelines=tuple(
            build_group_timelines(connection, facts, choose_axis(start, end), dimensions)
        ),
        breakdowns=tuple(
            Breakdown(by=each.by, groups=tuple(list_groups(each.by))) for each in dimensions
        ),
    )
