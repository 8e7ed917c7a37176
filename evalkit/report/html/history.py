"""The history of a set as one page: a table of versions, and a line for each metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from evalkit.compare.call_stats import CallStats
from evalkit.compare.history import HistoryRow
from evalkit.core.format import format_count
from evalkit.report.history import interval_text, list_definition_changes, metric_names
from evalkit.report.html.markup import Html, join, tag
from evalkit.report.html.page import render_page
from evalkit.report.html.report import html_table
from evalkit.report.html.svg import Point, line_plot
from evalkit.report.numbers import value_cell

_MAX_METRICS = 8
_MAX_CHARTS = 40


def render_history(name: str, rows: Sequence[HistoryRow], notes: Sequence[str]) -> str:
    """Render the rows of a history, oldest first, as one self-contained page."""
    body = join(
        [
            tag(
                "header", tag("h1", name), tag("p", format_count(len(rows), "run"), class_="reason")
            ),
            tag("section", tag("h2", "Metrics"), tag("div", join(_charts(rows)), class_="charts")),
            tag("section", tag("h2", "Versions"), _table(rows)),
            tag("section", tag("h2", "Tags in the newest run"), _tags(rows[-1])) if rows else None,
            _calls(rows[-1]) if rows and rows[-1].calls else None,
            tag("ul", join(tag("li", note) for note in notes)) if notes else None,
        ]
    )
    return render_page(f"{name}: history", tag("main", body))


def _charts(rows: Sequence[HistoryRow]) -> Iterator[Html]:
    for metric in metric_names(rows)[:_MAX_CHARTS]:
        of_rows = [row.find(metric) for row in rows]
        units = {each.unit for each in of_rows if each is not None}
        unit = next(iter(units), "")
        points = [
            (each.mean, each.low, each.high) if each is not None else (None, None, None)
            for each in of_rows
        ]
        yield _chart(
            metric, rows, points, zero_to_one=not unit, show=partial(value_cell, unit=unit)
        )
    for name in ("p50", "p95", "p99"):
        values = [(row.latency_s.get(name), None, None) for row in rows]
        yield _chart(f"latency {name}", rows, values, zero_to_one=False, show=_seconds)
    costs = [(row.cost_usd, None, None) for row in rows]
    if any(cost is not None for cost, _, _ in costs):
        yield _chart("cost of a run", rows, costs, zero_to_one=False, show=_dollars)
    for kind in sorted({kind for row in rows for kind in row.errors} or {""}):
        errors = [(_error_rate(row, kind), None, None) for row in rows]
        title = f"trials that ended in {kind}" if kind else "trials without a score"
        yield _chart(title, rows, errors, zero_to_one=True, show=_share)
    for name in _called_names(rows):
        calls = [_find_calls(row, name) for row in rows]
        rates = [(each.error_rate if each else None, None, None) for each in calls]
        yield _chart(f"errors of {name}", rows, rates, zero_to_one=True, show=_share)


def _error_rate(row: HistoryRow, kind: str) -> float:
    return row.errors.get(kind, 0) / max(row.cases * row.trials, 1)


def _called_names(rows: Sequence[HistoryRow]) -> list[str]:
    """The models that any run called, and the tools that failed in any."""
    names = {
        f"{each.kind} {each.name}"
        for row in rows
        for each in row.calls
        if each.kind == "model" or each.errors
    }
    return sorted(names)[:_MAX_METRICS]


def _find_calls(row: HistoryRow, name: str) -> CallStats | None:
    return next((each for each in row.calls if f"{each.kind} {each.name}" == name), None)


def _seconds(value: float) -> str:
    return value_cell(value, "s")


def _dollars(value: float) -> str:
    return value_cell(value, "usd")


def _share(value: float) -> str:
    return value_cell(value, "")


def _chart(
    title: str,
    rows: Sequence[HistoryRow],
    values: Sequence[tuple[float | None, float | None, float | None]],
    *,
    zero_to_one: bool,
    show: Callable[[float], str],
) -> Html:
    points = [
        Point(
            label=f"{row.version} {row.created[:10]} {show(value) if value is not None else 'none'}",
            value=value,
            low=low,
            high=high,
            mark=f"another {changed}" if changed else "",
        )
        for row, (value, low, high), changed in zip(
            rows, values, list_definition_changes(rows), strict=True
        )
    ]
    known = [value for value, _, _ in values if value is not None]
    newest = f"{title}: {show(known[-1])}" if known else title
    label = f"{title} over {len(rows)} runs"
    return tag(
        "div",
        tag("h3", newest),
        line_plot(points, label=label, zero_to_one=zero_to_one, show=show),
        class_="chart",
    )


def _table(rows: Sequence[HistoryRow]) -> Html:
    metrics = metric_names(rows)[:_MAX_METRICS]
    titles = [
        "date",
        "version",
        "what",
        *metrics,
        "latency p50 / p95 / p99",
        "cost",
        "errors",
        "changed",
    ]
    cells = []
    for row, changed in zip(reversed(rows), reversed(list_definition_changes(rows)), strict=True):
        latency = " / ".join(
            value_cell(row.latency_s.get(name), "s") for name in ("p50", "p95", "p99")
        )
        errors = ", ".join(f"{count} {kind}" for kind, count in row.errors.items())
        cells.append(
            (
                row.created[:16].replace("T", " "),
                tag("b", row.version or "-"),
                "baseline" if row.kind == "baseline" else row.id,
                *(interval_text(row.find(metric)) for metric in metrics),
                latency if row.latency_s else "",
                value_cell(row.cost_usd, "usd") if row.cost_usd is not None else "",
                errors,
                f"another {changed}" if changed else "",
            )
        )
    used = [column for column in range(len(titles)) if any(row[column] for row in cells)]
    kept = [[row[column] for column in used] for row in cells]
    return tag(
        "div", html_table([titles[column] for column in used], kept, name="history"), class_="wide"
    )


def _calls(row: HistoryRow) -> Html:
    cells = [
        (
            f"{each.kind} {each.name}",
            f"{each.calls:,}",
            value_cell(each.error_rate, ""),
            value_cell(each.p50_s, "s"),
            value_cell(each.p95_s, "s"),
            value_cell(each.p99_s, "s"),
            value_cell(each.cost_usd, "usd"),
        )
        for each in row.calls
    ]
    titles = ["", "calls", "errors", "p50", "p95", "p99", "cost"]
    return tag(
        "section", tag("h2", "Calls in the newest run"), html_table(titles, cells, name="calls")
    )


def _tags(row: HistoryRow) -> Html:
    tags = list(dict.fromkeys(each.tag for each in row.metrics if each.tag is not None))
    names = [each.metric for each in row.metrics if each.tag is None and not each.unit][
        :_MAX_METRICS
    ]
    cells = [(name, *(interval_text(row.find(metric, name)) for metric in names)) for name in tags]
    return html_table(["tag", *names], cells, name="tags")
