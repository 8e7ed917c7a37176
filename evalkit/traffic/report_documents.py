"""Render a traffic report as JSON, CSV, and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from evalkit.core.safe_text import (
    escape_csv_formula,
    escape_unsafe,
    format_json,
    markdown_code,
    markdown_text,
)
from evalkit.traffic.measures import find_measure
from evalkit.traffic.report_content import (
    SUMMARY,
    bounds_text,
    change_bounds_text,
    change_text,
    direction_text,
    errors_text,
    estimate_text,
    find_difference,
    list_change_sentences,
    list_rows,
    summarize,
    title_of,
    traffic_headline,
)
from evalkit.traffic.report_record import ArmComparison, Breakdown, TrafficEstimate, TrafficReport

SCHEMA = "evalkit.traffic_report/v1"

CSV_COLUMNS = (
    "by",
    "name",
    "start",
    "measure",
    "stat",
    "unit",
    "value",
    "low",
    "high",
    "requests",
    "users",
)
"""The columns of a report as CSV. `start` is that of a step of the time axis; groups have none."""


def report_json(report: TrafficReport) -> str:
    """Return a report as JSON."""
    return format_json({"schema": SCHEMA, **asdict(report)})


def report_csv(report: TrafficReport) -> str:
    """Return a row for each statistic of each group, and of each step of the time axis, as CSV."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    writer.writerows(_list_cells(report))
    return stream.getvalue()


def _list_cells(report: TrafficReport) -> Iterator[list[str]]:
    yield from _estimate_cells(("", "", ""), report.whole.estimates)
    for breakdown in report.breakdowns:
        for group in breakdown.groups:
            yield from _estimate_cells((breakdown.by, group.name, ""), group.estimates)
    for timeline in report.timelines:
        for step in timeline.steps:
            key = (timeline.by, timeline.name, step.start)
            known = [each for each in step.estimates if each.value is not None]
            yield from _estimate_cells(key, known)


def _estimate_cells(
    key: tuple[str, str, str], estimates: Iterable[TrafficEstimate]
) -> Iterator[list[str]]:
    for each in estimates:
        numbers = [each.value, each.low, each.high]
        cells = [*key, each.measure, each.stat, find_measure(each.measure).unit]
        counts = [str(each.requests), str(each.users) if each.users else ""]
        yield [
            *(escape_csv_formula(escape_unsafe(cell)) for cell in cells),
            *("" if number is None else repr(number) for number in numbers),
            *counts,
        ]


def report_markdown(report: TrafficReport) -> str:
    """Return a report as Markdown."""
    parts = [markdown_text(traffic_headline(report))]
    parts += [
        f"**{word.upper()}** {markdown_text(text)}" if word else markdown_text(text)
        for word, text in (summarize(report, each) for each in report.comparisons)
    ]
    parts += [_measure_table(report, each) for each in report.comparisons or (None,)]
    changes = [f"- {markdown_text(text)}" for text in list_change_sentences(report)]
    if changes:
        parts.append("**Changed**\n\n" + "\n".join(changes))
    if report.whole.errors:
        parts.append(markdown_text(f"Errors: {errors_text(report.whole)}"))
    parts += [_group_table(each) for each in report.breakdowns if len(each.groups) > 1]
    if report.warnings:
        parts.append("\n".join(f"- {markdown_text(text)}" for text in report.warnings))
    return "\n\n".join(parts) + "\n"


def _measure_table(report: TrafficReport, comparison: ArmComparison | None) -> str:
    titles = ["measure", "all", "90% interval"]
    if comparison is not None:
        names = (comparison.base, comparison.candidate)
        titles += [
            *(markdown_code(name, cell=True) for name in names),
            "change",
            "its interval",
            "",
        ]
    lines = []
    for row in list_rows(report):
        found = report.whole.find(row.measure.name, row.stat)
        cells = [row.title, estimate_text(found), bounds_text(found)]
        change = find_difference(comparison, row) if comparison is not None else None
        if change is not None:
            cells += [estimate_text(change.base), estimate_text(change.candidate)]
            cells += [change_text(change), change_bounds_text(change), direction_text(change)]
        lines.append(cells + [""] * (len(titles) - len(cells)))
    return _table(titles, lines)


def _group_table(breakdown: Breakdown) -> str:
    shown = [
        (measure, stat)
        for measure, stat in SUMMARY
        if any(
            (found := group.find(measure, stat)) is not None and found.value is not None
            for group in breakdown.groups
        )
    ]
    titles = [f"by {markdown_code(breakdown.by, cell=True)}", "requests"]
    for measure, stat in shown:
        titles += [title_of(measure, stat), "90% interval"]
    lines = []
    for group in breakdown.groups:
        cells = [markdown_code(group.name, cell=True), f"{group.requests:,}"]
        for measure, stat in shown:
            found = group.find(measure, stat)
            cells += [estimate_text(found), bounds_text(found)]
        lines.append(cells)
    table = _table(titles, lines)
    return f"{table}\n\nand {breakdown.unlisted:,} smaller" if breakdown.unlisted else table


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
