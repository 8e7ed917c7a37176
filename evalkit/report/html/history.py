"""Render the history of a set as an HTML page: a plot for each metric, and a table of versions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from evalkit.compare.call_stats import CallStats
from evalkit.compare.history import HistoryRow
from evalkit.core.format import format_count
from evalkit.report.content import value_cell
from evalkit.report.history import interval_text, list_definition_changes, metric_names
from evalkit.report.html.page import render_page
from evalkit.report.html.svg import Plot, Point, line_plot
from evalkit.report.html.views import TableCell

_MAX_METRICS = 8
_MAX_CHARTS = 40
_PERCENTILES = ("p50", "p95", "p99")


def render_history(name: str, rows: Sequence[HistoryRow], notes: Sequence[str]) -> str:
    """Render the rows of a history, oldest first, as one self-contained page."""
    version_titles, versions = _version_table(rows)
    newest = rows[-1] if rows else None
    tag_titles, tags = _tag_table(newest) if newest else ([], [])
    return render_page(
        "history.html.j2",
        title=f"{name}: history",
        evalset=name,
        run_count=format_count(len(rows), "run"),
        charts=list(_charts(rows)),
        version_titles=version_titles,
        versions=versions,
        has_rows=newest is not None,
        tag_titles=tag_titles,
        tags=tags,
        calls=_call_table(newest) if newest else [],
        notes=notes,
    )


def _charts(rows: Sequence[HistoryRow]) -> Iterator[tuple[str, Plot]]:
    """Yield the title and the plot of each chart."""
    for metric in metric_names(rows)[:_MAX_CHARTS]:
        found = [row.find(metric) for row in rows]
        unit = next((each.unit for each in found if each is not None), "")
        points = [
            Point("", each.mean, each.low, each.high) if each else Point("", None) for each in found
        ]
        yield _chart(metric, rows, points, unit, is_share=not unit)
    for name in _PERCENTILES:
        seconds = [row.latency_s.get(name) for row in rows]
        yield _chart(f"latency {name}", rows, _points(seconds), "s")
    costs = [row.cost_usd for row in rows]
    if any(cost is not None for cost in costs):
        yield _chart("cost of a run", rows, _points(costs), "usd")
    for kind in sorted({kind for row in rows for kind in row.errors} or {""}):
        rates = [row.errors.get(kind, 0) / max(row.cases * row.trials, 1) for row in rows]
        title = f"trials that ended in {kind}" if kind else "trials without a score"
        yield _chart(title, rows, _points(rates), "", is_share=True)
    for name in _called_names(rows):
        calls = [_find_calls(row, name) for row in rows]
        error_rates = [each.error_rate if each else None for each in calls]
        yield _chart(f"errors of {name}", rows, _points(error_rates), "", is_share=True)


def _called_names(rows: Sequence[HistoryRow]) -> list[str]:
    """Return the models that any run called, and the tools that failed in any run."""
    names = {
        f"{each.kind} {each.name}"
        for row in rows
        for each in row.calls
        if each.kind == "model" or each.errors
    }
    return sorted(names)[:_MAX_METRICS]


def _find_calls(row: HistoryRow, name: str) -> CallStats | None:
    return next((each for each in row.calls if f"{each.kind} {each.name}" == name), None)


def _points(values: Sequence[float | None]) -> list[Point]:
    return [Point("", value) for value in values]


def _chart(
    title: str,
    rows: Sequence[HistoryRow],
    points: Sequence[Point],
    unit: str,
    *,
    is_share: bool = False,
) -> tuple[str, Plot]:
    """Return the title of a chart, with the newest value, and its plot with labeled points."""
    show = partial(value_cell, unit=unit)
    labeled = []
    for row, point, changed in zip(rows, points, list_definition_changes(rows), strict=True):
        value = show(point.value) if point.value is not None else "none"
        text = f"{row.version} {row.created[:10]} {value}"
        mark = f"another {changed}" if changed else ""
        labeled.append(point._replace(label=text, mark=mark))
    known = [point.value for point in points if point.value is not None]
    label = f"{title} over {len(rows)} runs"
    plot = line_plot(label, labeled, is_share=is_share, show=show)
    return f"{title}: {show(known[-1])}" if known else title, plot


def _version_table(rows: Sequence[HistoryRow]) -> tuple[list[str], list[list[TableCell]]]:
    """Return titles and rows, newest first, without empty columns."""
    metrics = metric_names(rows)[:_MAX_METRICS]
    titles = ["date", "version", "what", *metrics, "latency p50 / p95 / p99", "cost", "errors"]
    titles.append("changed")
    table = []
    # The plots are oldest first, but readers of a table look for the newest row.
    for row, changed in zip(reversed(rows), reversed(list_definition_changes(rows)), strict=True):
        latency = " / ".join(value_cell(row.latency_s.get(name), "s") for name in _PERCENTILES)
        texts = [
            row.created[:16].replace("T", " "),
            row.version or "-",
            "baseline" if row.kind == "baseline" else row.id,
            *(interval_text(row.find(metric)) for metric in metrics),
            latency if row.latency_s else "",
            value_cell(row.cost_usd, "usd") if row.cost_usd is not None else "",
            ", ".join(f"{count} {kind}" for kind, count in row.errors.items()),
            f"another {changed}" if changed else "",
        ]
        table.append([TableCell(text, bold=index == 1) for index, text in enumerate(texts)])
    used = [column for column in range(len(titles)) if any(row[column].text for row in table)]
    return (
        [titles[column] for column in used],
        [[row[column] for column in used] for row in table],
    )


def _call_table(row: HistoryRow) -> list[list[TableCell]]:
    return [
        [
            TableCell(f"{each.kind} {each.name}"),
            TableCell(f"{each.calls:,}"),
            TableCell(value_cell(each.error_rate, "")),
            *(TableCell(value_cell(value, "s")) for value in (each.p50_s, each.p95_s, each.p99_s)),
            TableCell(value_cell(each.cost_usd, "usd")),
        ]
        for each in row.calls
    ]


def _tag_table(row: HistoryRow) -> tuple[list[str], list[list[TableCell]]]:
    tags = list(dict.fromkeys(each.tag for each in row.metrics if each.tag is not None))
    names = [each.metric for each in row.metrics if each.tag is None and not each.unit]
    names = names[:_MAX_METRICS]
    table = [
        [TableCell(tag), *(TableCell(interval_text(row.find(name, tag))) for name in names)]
        for tag in tags
    ]
    return ["tag", *names], table
