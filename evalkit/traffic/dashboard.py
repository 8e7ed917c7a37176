"""Build the dashboard from the report of traffic: what changed, the panels, the tables, and the notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from evalkit.core.format import format_count
from evalkit.traffic.dashboard_panels import (
    build_axis,
    build_slices,
    known_measures,
    list_never,
    name_step,
)
from evalkit.traffic.dashboard_plots import panel_text, short_name
from evalkit.traffic.dashboard_records import Dashboard, DashboardHeadline, NotableRequest
from evalkit.traffic.dashboard_tables import (
    build_comparison,
    build_errors,
    build_groups,
    compare_panels,
    list_differences,
)
from evalkit.traffic.dimensions import UNVERSIONED
from evalkit.traffic.measures import MEASURES
from evalkit.traffic.report_content import title_of
from evalkit.traffic.report_record import ArmDifference, TrafficReport

_MAX_NAMED = 3


def build_dashboard(
    report: TrafficReport,
    requests: Sequence[NotableRequest],
    within: Mapping[str, TrafficReport],
) -> Dashboard:
    """Return the dashboard of a report.

    Args:
        report: the report of all traffic.
        requests: the requests to look at.
        within: reports of single versions, by version, which the filters show.
    """
    known = known_measures(report)
    errors = build_errors(report)
    return Dashboard(
        name=report.name,
        crumb=_crumb(report),
        headline=_headline(report),
        axis=build_axis(report),
        dimensions={
            each.by: tuple(group.name for group in each.groups)
            for each in report.breakdowns
            if each.by != "day" and len(each.groups) > 1
        },
        slices=build_slices(report, within),
        compared=compare_panels(report),
        unknown=tuple(each.title for each in MEASURES if each not in known),
        never=tuple(
            f"{each.title} (of {found.requests:,})"
            for each in list_never(report)
            if (found := report.whole.find(each.name))
        ),
        tables=(
            *(build_comparison(report, each) for each in report.comparisons),
            *([errors] if errors else []),
            *build_groups(report),
        ),
        requests=tuple(requests),
        requests_about=(
            "failed, slow, badly rated, and costly ones, newest first; for all: "
            f"evalkit traffic list {report.name} --failed"
        ),
        meanings=tuple((each.title, each.meaning) for each in known),
        notes=tuple(_notes(report)),
    )


def _crumb(report: TrafficReport) -> str:
    first, last = (datetime.fromisoformat(each) for each in (report.start, report.end))
    days = dict.fromkeys(f"{each:%a} {each:%b} {each.day}" for each in (first, last))
    parts = (
        "traffic",
        *report.filters,
        f"{' to '.join(days)}, {last.year}",
        f"by {name_step(report.step_s)}, UTC",
    )
    return " · ".join(parts)


def _headline(report: TrafficReport) -> DashboardHeadline:
    """Return what changed with the newest version, else how large and how good traffic is."""
    comparison = next((each for each in report.comparisons if each.by == "version"), None)
    if comparison is None:
        named = [each.name for each in report.versions if each.name != UNVERSIONED]
        about = "No two versions are compared."
        if not named:
            about = "No request names a version, so that none is compared."
        elif len(named) == 1:
            about = f"There is one version, {short_name(named[0])}, so that none is compared."
        return DashboardHeadline("", None, _summary(report), about)
    older, newer = map(short_name, (comparison.base, comparison.candidate))
    differences = list_differences(report, comparison)
    worse = [each for each in differences if each.direction == "worse"]
    better = [each for each in differences if each.direction == "better"]
    limit = (
        ""
        if comparison.is_concurrent
        else f"{newer} did not serve at the same time as {older}, so there may be other causes."
    )
    if not worse and not better:
        lead = f"No difference between {older} and {newer} is beyond noise."
        if all(each.direction == "too little data" for each in differences):
            lead = f"There is too little data to compare {newer} with {older}."
        return DashboardHeadline("", None, lead, _summary(report))
    found = f"{_start_sentence(_list_changes(worse or better))}. {limit}"
    if worse and better:
        also = f"Worse: {_list_changes(worse)}. Better: {_list_changes(better)}. {limit}"
        return DashboardHeadline(
            f"WORSE AND BETTER SINCE {newer}",
            "inconclusive",
            f"{newer} differs from {older}.",
            also,
        )
    if worse:
        return DashboardHeadline(
            f"WORSE SINCE {newer}", "fail", f"{newer} is worse than {older}.", found
        )
    return DashboardHeadline(
        f"BETTER SINCE {newer}", "pass", f"{newer} is better than {older}.", found
    )


def _start_sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _summary(report: TrafficReport) -> str:
    measures = {each.name: each for each in MEASURES}
    parts = [
        f"{measures[name].title} {panel_text(found.value, '')}"
        for name in ("success_rate", "escalation_rate", "satisfaction")
        if (found := report.whole.find(name)) and found.value is not None
    ]
    count = format_count(report.whole.requests, "request")
    return f"{count}{': ' if parts else ''}{', '.join(parts)}."


def _list_changes(differences: Sequence[ArmDifference]) -> str:
    texts = [
        f"{title_of(each.measure, each.stat)} {panel_text(each.base.value, unit)} to {panel_text(each.candidate.value, unit)}"
        for each in differences[:_MAX_NAMED]
        if each.base.value is not None and each.candidate.value is not None
        for unit in [next(one.unit for one in MEASURES if one.name == each.measure)]
    ]
    more = len(differences) - len(texts)
    return ", ".join([*texts, *([f"and {more} more"] if more else [])])


def _notes(report: TrafficReport) -> list[str]:
    clusters = {
        "user": f"requests of one user are not independent. There are {format_count(report.whole.users, 'user')}",
        "session": "no request names a user, and requests of one session are not independent",
        "request": "no request names a user or a session, so that each is taken for independent",
    }
    notes = [
        *report.warnings,
        f"Each bound of an interval is wrong with a chance of at most 5%: {clusters[report.cluster]}.",
        "Each measure counts the requests in which it is known: unknown is never 0.",
    ]
    if report.comparisons:
        notes.append(
            "A measure is worse or better if that holds for all compared measures together (Bonferroni). It is "
            "unclear if only its own interval excludes no change."
        )
    if report.changes:
        notes.append("A level that changed is a hint where to look, and no test.")
    notes.append("The page has no questions, answers, comments, users, or sessions.")
    return notes
