"""Lay out the tables of the dashboard: two versions or arms, errors, and the groups of each dimension."""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.core.format import format_count
from evalkit.core.literals import Outcome
from evalkit.report.html.views import true_minus
from evalkit.traffic.dashboard_panels import known_measures
from evalkit.traffic.dashboard_plots import NO_DATA, panel_text, short_name, show_interval
from evalkit.traffic.dashboard_records import DashboardCell, DashboardTable, PanelValue
from evalkit.traffic.measures import Stat, find_measure
from evalkit.traffic.report_content import (
    change_bounds_text,
    change_text,
    direction_text,
    find_difference,
    list_rows,
    title_of,
)
from evalkit.traffic.report_record import (
    ArmComparison,
    ArmDifference,
    Group,
    TrafficEstimate,
    TrafficReport,
)

_OUTCOMES: dict[str, Outcome] = {"worse": "fail", "better": "pass", "unclear": "inconclusive"}
_SHOWN = ("worse", "better", "changed", "unclear")
"""The words of differences that are not folded, in their order."""
_MAX_ERRORS = 20
_MAX_VERSIONS = 5
_COLUMNS: tuple[tuple[str, Stat], ...] = (
    ("success_rate", "mean"),
    ("error_rate", "mean"),
    ("escalation_rate", "mean"),
    ("satisfaction", "mean"),
    ("latency_s", "p95"),
    ("cost_usd", "mean"),
)
"""The columns of the tables of groups."""


def list_differences(report: TrafficReport, comparison: ArmComparison) -> list[ArmDifference]:
    """Return the differences that are worth a line, by importance."""
    found = (find_difference(comparison, row) for row in list_rows(report))
    return [each for each in found if each is not None]


def build_comparison(report: TrafficReport, comparison: ArmComparison) -> DashboardTable:
    """Return the measures of two versions or arms, with the interval of the change."""
    base, candidate = map(short_name, (comparison.base, comparison.candidate))
    differences = list_differences(report, comparison)
    shown = any(direction_text(each) in _SHOWN for each in differences)
    parts = [
        "all at the same time" if comparison.is_concurrent else "not at the same time",
        f"{format_count(comparison.shared_users, report.cluster)} with both"
        if comparison.shared_users
        else "",
        f"{comparison.mixed:,} requests of sessions with both left out" if comparison.mixed else "",
    ]
    return DashboardTable(
        title=f"{comparison.by.capitalize()} {candidate} compared with {base}",
        columns=("measure", "result", base, candidate, "change", "interval"),
        rows=tuple(
            (title_of(each.measure, each.stat), _difference_cells(each))
            for direction in _SHOWN
            for each in differences
            if direction_text(each) == direction
        ),
        about=", ".join(filter(None, parts)),
        folded=tuple(
            (title_of(each.measure, each.stat), _difference_cells(each))
            for each in differences
            if direction_text(each) not in _SHOWN
        ),
        folded_title=", ".join(
            f"{count} {'more ' if shown else ''}with {direction}"
            for direction in ("no difference shown", "too little data")
            if (count := sum(direction_text(each) == direction for each in differences))
        ),
    )


def compare_panels(report: TrafficReport) -> dict[str, DashboardCell]:
    """Return the values of the two versions that are compared, for the panel of each measure."""
    found = {}
    for comparison in report.comparisons:
        for each in comparison.differences:
            measure = find_measure(each.measure)
            stat = "p95" if measure.unit == "s" else "mean"
            before, after = each.base.value, each.candidate.value
            if comparison.by != "version" or each.stat != stat or before is None or after is None:
                continue
            name = "" if stat == "mean" else f"{stat} "
            text = (
                f"{name}{short_name(comparison.base)} {panel_text(before, measure.unit)} → "
                f"{short_name(comparison.candidate)} {panel_text(after, measure.unit)}"
            )
            outcome = _OUTCOMES.get(direction_text(each))
            found[each.measure] = DashboardCell(
                text, direction_text(each) if outcome else "", outcome
            )
    return found


def _difference_cells(each: ArmDifference) -> tuple[DashboardCell, ...]:
    unit = find_measure(each.measure).unit
    return (
        DashboardCell(direction_text(each), "", _OUTCOMES.get(direction_text(each))),
        _estimate_cell(each.base, unit),
        _estimate_cell(each.candidate, unit),
        DashboardCell(true_minus(change_text(each))),
        DashboardCell(true_minus(change_bounds_text(each))),
    )


def build_errors(report: TrafficReport) -> DashboardTable | None:
    """Return the types of errors with their number in each version; None without an error."""
    errors = report.whole.errors
    if not errors:
        return None
    versions = report.versions[-_MAX_VERSIONS:] if len(report.versions) > 1 else ()
    failed = sum(errors.values())
    rows = [
        (
            name,
            (
                DashboardCell(f"{count:,}"),
                DashboardCell(f"{count / failed:.1%}"),
                *(_error_cell(group, name) for group in versions),
            ),
        )
        for name, count in list(errors.items())[:_MAX_ERRORS]
    ]
    more = len(errors) - len(rows)
    about = "for each version, the share of its requests" if versions else ""
    return DashboardTable(
        title="Errors",
        columns=(
            "type",
            "requests",
            "share of errors",
            *(short_name(group.name) for group in versions),
        ),
        rows=tuple(rows),
        about=", ".join(filter(None, [about, f"{more:,} rarer types left out" if more else ""])),
    )


def _error_cell(group: Group, error: str) -> DashboardCell:
    count = group.errors.get(error, 0)
    return DashboardCell(f"{count:,}", f"{count / max(group.requests, 1):.1%}")


def build_groups(report: TrafficReport) -> Iterator[DashboardTable]:
    """Yield a table for each dimension with several groups: the most important measures of each."""
    known = {measure.name for measure in known_measures(report)}
    columns = [each for each in _COLUMNS if each[0] in known]
    for breakdown in report.breakdowns:
        if breakdown.by == "day" or len(breakdown.groups) < 2:
            continue
        parts = [
            "a request counts for each of its tools" if breakdown.by == "tool" else "",
            f"{breakdown.unlisted:,} smaller ones left out" if breakdown.unlisted else "",
        ]
        yield DashboardTable(
            title=f"By {breakdown.by}",
            columns=(breakdown.by, "requests", *(title_of(*each) for each in columns)),
            rows=tuple(
                (
                    group.name,
                    (
                        DashboardCell(
                            f"{group.requests:,}", format_count(group.users, report.cluster)
                        ),
                        *(
                            _estimate_cell(group.find(*each), find_measure(each[0]).unit)
                            for each in columns
                        ),
                    ),
                )
                for group in breakdown.groups
            ),
            about=", ".join(filter(None, parts)),
        )


def _estimate_cell(estimate: TrafficEstimate | None, unit: str) -> DashboardCell:
    if estimate is None or estimate.value is None:
        return DashboardCell(NO_DATA)
    note = f"of {estimate.requests:,}"
    if estimate.low is not None and estimate.high is not None:
        note = show_interval(PanelValue(estimate.value, estimate.low, estimate.high, 0), unit)
    return DashboardCell(panel_text(estimate.value, unit), note)
