"""Build the report of stored traffic: groups, timelines, changes, and comparisons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evalkit.core.errors import InvalidInput
from evalkit.traffic.arm_comparison import Arm, compare_arms
from evalkit.traffic.dimensions import (
    DIMENSIONS,
    UNVERSIONED,
    Dimension,
    choose_groups,
    find_errors,
    find_groups,
    read_filters,
)
from evalkit.traffic.estimates import Facts, choose_all, choose_part, estimate_part, load_facts
from evalkit.traffic.import_log import ImportedFile, read_imports
from evalkit.traffic.level_changes import find_changes
from evalkit.traffic.report_record import ArmComparison, Breakdown, Group, TrafficReport
from evalkit.traffic.report_warnings import list_warnings
from evalkit.traffic.request_facts import create_facts
from evalkit.traffic.table import open_traffic
from evalkit.traffic.timelines import TimeAxis, build_timelines, choose_axis, format_time

if TYPE_CHECKING:
    import duckdb

    from evalkit.stats.distributions import Bools

_MIN_SHARE = 0.01
"""A version with fewer of the requests is not compared by default."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrafficReportOptions:
    """What a report is about.

    `by` are dimensions or attributes of spans; all dimensions by default. `only` are conditions such as
    `version=v3`. `compare` are the names of two versions or arms; the newest two by default.
    """

    by: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    compare: tuple[str, str] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportedTraffic:
    """An open store with the table `facts` for the options of a report.

    `retries` are the attempts that are not counted.
    """

    name: str
    connection: duckdb.DuckDBPyConnection
    options: TrafficReportOptions
    imports: Sequence[ImportedFile]
    retries: int


@contextmanager
def open_reported(folder: Path, options: TrafficReportOptions) -> Iterator[ReportedTraffic]:
    """Open a traffic store for a report, which takes most of its time.

    Raises:
        InvalidInput: there is no such store, or a condition is not valid.
        StoreError: the list of imports is damaged.
    """
    condition = read_filters(options.only)
    with open_traffic(folder) as connection:
        imports = read_imports(folder)
        retries = create_facts(
            connection,
            redacted=[each.import_id for each in imports if not _keeps_personal_data(each)],
            condition=condition,
            attributes=_list_attributes(options),
        )
        yield ReportedTraffic(
            name=folder.name,
            connection=connection,
            options=options,
            imports=imports,
            retries=retries,
        )


def build_report(folder: Path, options: TrafficReportOptions) -> TrafficReport:
    """Build the report of a traffic store.

    Raises:
        InvalidInput: there is no such store, an option is not valid, or no request is left.
        StoreError: the list of imports is damaged.
    """
    with open_reported(folder, options) as opened:
        return describe_traffic(opened)


def describe_traffic(opened: ReportedTraffic) -> TrafficReport:
    """Return the report of an open store.

    Raises:
        InvalidInput: an option is not valid, or no request is left.
    """
    connection, options = opened.connection, opened.options
    start, end = _find_span(connection, opened.name, options)
    facts = load_facts(connection)
    whole = _describe_whole(connection, facts, start, end)
    dimensions = [find_groups(connection, by) for by in _list_dimensions(options)]
    _require_attributes(_list_attributes(options), dimensions)
    masks = {each.by: choose_groups(connection, each) for each in dimensions}
    breakdowns = tuple(
        _build_breakdown(facts, each, masks[each.by], whole) for each in dimensions if each.groups
    )
    pairs = (
        [_find_pair(masks, options.compare)]
        if options.compare
        else _choose_pairs(breakdowns, facts)
    )
    axis = choose_axis(start, end)
    days = {group.name: group for each in breakdowns if each.by == "day" for group in each.groups}
    timelines = build_timelines(connection, facts, axis, dimensions, days)
    report = TrafficReport(
        name=opened.name,
        filters=options.only,
        start=format_time(start.replace(tzinfo=UTC).timestamp()),
        end=format_time(end.replace(tzinfo=UTC).timestamp()),
        cluster=_find_cluster(connection),
        step_s=axis.step_s,
        whole=whole,
        breakdowns=breakdowns,
        timelines=timelines,
        changes=(),
        comparisons=_compare(connection, facts, axis, masks, pairs),
        retries=opened.retries,
        incomplete=_count(connection, "incomplete"),
        top_share=_find_top_share(facts),
        warnings=(),
    )
    changes = find_changes(timelines[0], report.versions, axis.step_s)
    unknown = _count(connection, "cluster_by <> 'user'")
    unsampled = _count(connection, "not is_sampled") if facts.is_weighted else 0
    return replace(
        report,
        changes=changes,
        warnings=tuple(list_warnings(report, opened.imports, unknown, unsampled)),
    )


def _list_attributes(options: TrafficReportOptions) -> list[str]:
    return [by for by in options.by if by not in DIMENSIONS]


def _keeps_personal_data(imported: ImportedFile) -> bool:
    redaction = imported.options.get("redaction")
    return not isinstance(redaction, Mapping) or bool(redaction.get("keep_pii", True))


def _find_span(
    connection: duckdb.DuckDBPyConnection, name: str, options: TrafficReportOptions
) -> tuple[datetime, datetime]:
    found = connection.execute("select min(ts), max(ts) from facts").fetchone()
    if found is None or found[0] is None:
        chosen = f" with {', '.join(options.only)}" if options.only else ""
        raise InvalidInput.single(f"{name} has no request{chosen}. Nothing can be reported.")
    return found[0], found[1]


def _list_dimensions(options: TrafficReportOptions) -> list[str]:
    # Versions are the marks on the time axis, whatever else is asked for.
    return list(dict.fromkeys(("version", *(options.by or DIMENSIONS))))


def _require_attributes(names: Sequence[str], dimensions: Sequence[Dimension]) -> None:
    missing = [each.by for each in dimensions if each.by in names and not each.groups]
    if missing:
        raise InvalidInput.single(
            f"--by {missing[0]}: no request has this attribute. Name one of {', '.join(DIMENSIONS)}, or "
            "an attribute of its spans, such as cloud.region."
        )


def _describe_whole(
    connection: duckdb.DuckDBPyConnection, facts: Facts, start: datetime, end: datetime
) -> Group:
    errors = find_errors(connection, "(select '' as name, failed, error_type from facts)")
    return Group(
        name="",
        requests=facts.users.size,
        users=facts.user_count,
        first=format_time(start.replace(tzinfo=UTC).timestamp()),
        last=format_time(end.replace(tzinfo=UTC).timestamp()),
        estimates=tuple(estimate_part(facts, choose_all(facts))),
        errors=errors.get("", {}),
    )


def _build_breakdown(
    facts: Facts, dimension: Dimension, masks: Mapping[str, Bools], whole: Group
) -> Breakdown:
    groups = []
    for found in dimension.groups:
        first, last = (
            format_time(time.replace(tzinfo=UTC).timestamp()) for time in (found.first, found.last)
        )
        if found.requests == whole.requests:
            groups.append(replace(whole, name=found.name))
            continue
        part = choose_part(facts, masks[found.name])
        groups.append(
            Group(
                name=found.name,
                requests=found.requests,
                users=part.user_count,
                first=first,
                last=last,
                estimates=tuple(estimate_part(facts, part)),
                errors=found.errors,
            )
        )
    if dimension.by == "version":
        groups.sort(key=lambda group: group.first)
    return Breakdown(by=dimension.by, groups=tuple(groups), unlisted=dimension.unlisted)


def _compare(
    connection: duckdb.DuckDBPyConnection,
    facts: Facts,
    axis: TimeAxis,
    masks: Mapping[str, Mapping[str, Bools]],
    pairs: Sequence[tuple[str, str, str]],
) -> tuple[ArmComparison, ...]:
    """Compare the base with the candidate of each pair of a dimension."""
    import numpy as np  # noqa: PLC0415

    if not pairs:
        return ()
    found = connection.execute(
        f"select mixed, {axis.select_step()} as step from facts"  # noqa: S608
    ).fetchnumpy()
    mixed, steps = np.asarray(found["mixed"], dtype=bool), np.asarray(found["step"])
    return tuple(
        compare_arms(
            facts,
            by,
            (Arm(name=base, chosen=masks[by][base]), Arm(name=other, chosen=masks[by][other])),
            mixed=mixed,
            steps=steps,
        )
        for by, base, other in pairs
    )


def _find_pair(
    masks: Mapping[str, Mapping[str, Bools]], names: tuple[str, str]
) -> tuple[str, str, str]:
    for by in ("version", "variant", *masks):
        if all(name in masks.get(by, {}) for name in names):
            return by, *names
    known = {by: ", ".join(masks[by]) for by in ("version", "variant") if masks.get(by)}
    listed = "; ".join(f"{by}s: {text}" for by, text in known.items())
    raise InvalidInput.single(
        f"--compare {','.join(names)}: both have to be versions, or arms of an experiment. There are "
        f"{listed}."
    )


def _choose_pairs(breakdowns: Sequence[Breakdown], facts: Facts) -> list[tuple[str, str, str]]:
    """Return the newest two versions, and the first arm of an experiment with each other one."""
    pairs: list[tuple[str, str, str]] = []
    for each in breakdowns:
        names = [
            group.name
            for group in each.groups
            if group.requests >= _MIN_SHARE * facts.users.size and group.name != UNVERSIONED
        ]
        if each.by == "version" and len(names) > 1:
            pairs.append(("version", names[-2], names[-1]))
        if each.by == "variant":
            first, *others = sorted(names) or [""]
            pairs += [("variant", first, other) for other in others]
    return pairs


def _count(connection: duckdb.DuckDBPyConnection, condition: str) -> int:
    found = connection.execute(f"select count(*) from facts where {condition}").fetchone()  # noqa: S608
    return int(found[0]) if found else 0


def _find_cluster(connection: duckdb.DuckDBPyConnection) -> Literal["user", "session", "request"]:
    """Return what the clusters of most requests are."""
    found = connection.execute("select mode(cluster_by) from facts").fetchone()
    kind: Literal["user", "session", "request"] = found[0] if found else "request"
    return kind


def _find_top_share(facts: Facts) -> float:
    import numpy as np  # noqa: PLC0415

    return float(np.bincount(facts.users).max() / facts.users.size)
