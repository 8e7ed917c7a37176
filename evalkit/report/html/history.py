"""Render the history of a set as an HTML page: since when it fails, a plot for each metric, and the runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from evalkit.compare.history import HistoryRow
from evalkit.core.format import format_count
from evalkit.core.safe_text import one_line
from evalkit.report.content import OUTCOME_WORDS
from evalkit.report.history_content import (
    Series,
    build_series,
    day_text,
    describe_runs,
    group_by_agent,
    list_definition_changes,
    minute_text,
    summarize_history,
    version_name,
)
from evalkit.report.history_operation import build_operation_series
from evalkit.report.history_points import SeriesPoint
from evalkit.report.html.axis_labels import SMALL_WIDTHS, place_labels
from evalkit.report.html.history_plot import PlotView, find_label_place, plot_series
from evalkit.report.html.history_tables import call_table, run_table, tag_table
from evalkit.report.html.page import render_page

_MAX_MULTIPLES = 9
_MAX_VERSION_CHARS = 24
_HEADLINE_PX, _OTHER_PX, _SMALL_PX = 220.0, 120.0, 78.0
_ROW_PX = 17.0


def render_history(name: str, rows: Sequence[HistoryRow], notes: Sequence[str]) -> str:
    """Render the rows of a history, oldest first, as one self-contained page.

    Each agent has plots of its own, because no line may join the values of different agents.
    """
    groups = [
        _AgentRuns(number, agent, of)
        for number, (agent, of) in enumerate(group_by_agent(rows).items(), start=1)
    ]
    links = {row.id: f"#run-{number}" for number, row in enumerate(rows)}
    own = groups[0] if groups else _AgentRuns(1, "", [])
    headline, shown, folded = own.sort_series()
    open_titles = [each.title for each in (headline, *shown[:_MAX_MULTIPLES]) if each]
    decided = next((row for row in reversed(own.rows) if row.result is not None), None)
    first, rest = summarize_history(own.rows, describe_runs(own.rows, rows))
    return render_page(
        "history.html.j2",
        styles=("history.css",),
        title=f"{name}: history",
        evalset=name,
        crumb=_crumb(rows),
        outcome=decided.result.outcome if decided is not None and decided.result else "",
        word=decided.result.word if decided is not None and decided.result else "",
        newest=f"newest: {version_name(decided)}, {minute_text(decided.created)}"
        if decided
        else "",
        lead=first,
        reason=rest,
        agents=[(each.number, each.agent or "no agent", len(each.rows)) for each in groups],
        headline=_headline_view(headline, own.rows, links) if headline else None,
        multiples=[_small_view(each, own.rows) for each in shown[:_MAX_MULTIPLES]],
        more=[_small_view(each, own.rows) for each in shown[_MAX_MULTIPLES:]],
        folded=[(each.title, each.range_text, each.rules) for each in folded],
        others=[_other_view(each, links) for each in groups[1:] if each.rows],
        table=run_table(
            rows, open_titles, {each.agent: each.number for each in groups}, _find_points(groups)
        ),
        tags=tag_table(rows[-1]) if rows else None,
        calls=call_table(rows[-1]) if rows else [],
        notes=notes,
    )


class _AgentRuns(NamedTuple):
    """The whole runs of one agent, oldest first."""

    number: int
    agent: str
    rows: list[HistoryRow]

    def sort_series(self) -> tuple[Series | None, list[Series], list[Series]]:
        """Return the headline, the other series that change, and those that do not or are far from a limit."""
        decisive = build_series(self.rows)
        # A threshold on the latency shows more than the latency alone.
        timed = any(each.title.startswith("latency") for each in decisive)
        others = [
            each
            for each in build_operation_series(self.rows)
            if not (timed and each.title.startswith("latency"))
        ]
        found = [each for each in (*decisive, *others) if each.known]
        headline = found[0] if found else None
        # What a threshold calls far from its limit is of no interest without a threshold either.
        far = {each.metric for each in found if each.is_far_from_limit}
        shown: list[Series] = []
        folded: list[Series] = []
        for series in found[1:]:
            is_far = series.is_far_from_limit or (series.metric in far and not series.rules)
            (folded if series.is_constant or is_far else shown).append(series)
        return headline, shown, folded


def _find_points(groups: Sequence[_AgentRuns]) -> dict[tuple[str, str], tuple[Series, SeriesPoint]]:
    """Return the point of each run by its id and the title of the series."""
    return {
        (row.id, series.title): (series, point)
        for group in groups
        for series in (*build_series(group.rows), *build_operation_series(group.rows))
        for row, point in zip(group.rows, series.points, strict=True)
    }


def _crumb(rows: Sequence[HistoryRow]) -> str:
    if not rows:
        return "history"
    days = " to ".join(dict.fromkeys((day_text(rows[0].created), day_text(rows[-1].created))))
    year = rows[-1].created[:4]
    return f"history · {rows[-1].evalset_path} · {format_count(len(rows), 'run')}, {days}, {year}"


def _headline_view(
    series: Series,
    rows: Sequence[HistoryRow],
    links: Mapping[str, str],
    height: float = _HEADLINE_PX,
) -> PlotView:
    """Return a large plot: with labels of days and versions, and a link from each run to its row."""
    view = _plot(series, rows, height)
    y = view["bottom"] + _ROW_PX
    outcomes = [row.result.outcome if row.result is not None else None for row in rows]
    results, names = [], []
    # Another threshold can decide a run, which the marks of this one do not show.
    if outcomes != [point.outcome for point in series.points]:
        results = [
            ((index + 0.5) / len(rows), y - 4, outcome)
            for index, outcome in enumerate(outcomes)
            if outcome is not None
        ]
        names.append((y, "result"))
        y += _ROW_PX + 3
    days, versions = _day_texts(rows), _find_versions(rows)
    view["results"], view["rows"] = results, names
    view["label_rows"] = [
        (y, "", place_labels(days)),
        (y + _ROW_PX, "strong", place_labels([((x1 + x2) / 2, text) for x1, x2, text in versions])),
    ]
    view["stripes"] = [(x1, x2) for x1, x2, _ in versions[1::2]]
    view["total"] = y + _ROW_PX + 6
    view["links"] = [
        (links[row.id], _point_text(series, row, point))
        for row, point in zip(rows, series.points, strict=True)
    ]
    view["notes"] = list(_place_notes(series, rows, view))
    return view


def _small_view(series: Series, rows: Sequence[HistoryRow]) -> PlotView:
    """Return a small plot, with the first and the last day below it."""
    view = _plot(series, rows, _SMALL_PX)
    ends = [
        (0.5 / len(rows), day_text(rows[0].created)),
        (1 - 0.5 / len(rows), day_text(rows[-1].created)),
    ]
    y = view["bottom"] + _ROW_PX
    return {
        **view,
        "results": [],
        "rows": [],
        "stripes": [],
        "links": [],
        "notes": [],
        "label_rows": [(y, "", place_labels(ends if len(rows) > 1 else ends[1:], SMALL_WIDTHS))],
        "total": y + 4,
    }


def _other_view(group: _AgentRuns, links: Mapping[str, str]) -> PlotView:
    """Return the plot of another agent, with what its runs say."""
    headline, _, _ = group.sort_series()
    first, rest = summarize_history(group.rows)
    plot = _headline_view(headline, group.rows, links, _OTHER_PX) if headline else None
    return {
        "number": group.number,
        "agent": group.agent or "no agent",
        "lead": first,
        "reason": rest,
        "plot": plot,
    }


def _plot(series: Series, rows: Sequence[HistoryRow], height: float) -> PlotView:
    breaks = list_definition_changes(rows)
    view = plot_series(series, height, [bool(changed) for changed in breaks])
    known = series.known
    newest = series.newest
    view["title"] = series.title
    view["now"] = series.show(newest.value)
    view["about"] = series.rules or "no threshold"
    view["label"] = _finding(series, rows)
    view["key"] = list(_key_texts(series, rows, breaks))
    view["outcomes"] = [
        (outcome, word)
        for outcome, word in OUTCOME_WORDS.items()
        if any(outcome == point.outcome for point in known)
    ]
    plain = [point for point in known if point.outcome is None]
    view["neutral"] = ""
    if plain and series.rules:
        view["neutral"] = "baseline" if all(each.is_baseline for each in plain) else "no result"
    return view


def _finding(series: Series, rows: Sequence[HistoryRow]) -> str:
    """Return what a plot shows, as a sentence for readers who do not see it."""
    newest = series.newest
    limits = [
        f"at {word} {series.show(limit)} is allowed"
        for word, limit in (("least", newest.lower), ("most", newest.upper))
        if limit is not None
    ]
    bad = sum(point.outcome == "fail" for point in series.known)
    parts = [
        f"{series.title} of {format_count(len(rows), 'run')}: {series.range_text}, now {series.show(newest.value)}",
        *limits,
        *([f"{bad} failed"] if limits else []),
    ]
    return "; ".join(parts)


def _key_texts(
    series: Series, rows: Sequence[HistoryRow], breaks: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield the kind of each line of a plot and what it shows."""
    if any(point.low is not None for point in series.known):
        yield "interval", "90% interval"
    newest = series.newest
    if newest.baseline is not None:
        yield "baseline", _baseline_text(series, rows)
    for word, limit in (("least", newest.lower), ("most", newest.upper)):
        if limit is not None:
            yield "limit", f"at {word} {series.show(limit)}; shaded is not allowed"
    if changed := sorted(set(filter(None, breaks))):
        yield "break", f"another {' or '.join(changed)} from here"


def _baseline_text(series: Series, rows: Sequence[HistoryRow]) -> str:
    named = [row.result.baseline_version for row in rows if row.result is not None]
    return f"baseline {named[-1] if named else ''}: {series.show(series.newest.baseline)}".replace(
        " :", ":"
    )


def _place_notes(
    series: Series, rows: Sequence[HistoryRow], view: PlotView
) -> Iterator[tuple[float, float, str, str]]:
    """Yield the texts of the newest limit and baseline inside of the plot, where no mark is in the way."""
    newest = series.newest
    texts = [("lower", newest.lower, f"limit {series.show(newest.lower)}", "limit-text")]
    texts += [("upper", newest.upper, f"limit {series.show(newest.upper)}", "limit-text")]
    texts += [("baseline", newest.baseline, _baseline_text(series, rows), "strong")]
    for name, value, text, class_name in texts:
        lines = view["baselines"] if name == "baseline" else view["limits"]
        # Where a limit changed over time, the labels of the axis and the key must do.
        if value is None or len(lines) != 1 + (
            name != "baseline" and None not in (newest.lower, newest.upper)
        ):
            continue
        y = lines[-1][2]
        below = name == "lower"
        place = find_label_place(view, y + 20 if below else y, text)
        if place is not None:
            yield place, (y + 15 if below else y - 6), text, class_name


def _day_texts(rows: Sequence[HistoryRow]) -> list[tuple[float, str]]:
    """Return the day below the first run of each day, and the share of the width at which it is."""
    texts = [day_text(row.created) for row in rows]
    return [
        ((index + 0.5) / len(rows), text)
        for index, text in enumerate(texts)
        if index == 0 or texts[index - 1] != text
    ]


def _find_versions(rows: Sequence[HistoryRow]) -> list[tuple[float, float, str]]:
    """Return where each stretch of runs of one version starts and ends, and the version."""
    found, start = [], 0
    for name, stretch in groupby(map(version_name, rows)):
        end = start + len(list(stretch))
        found.append((start / len(rows), end / len(rows), one_line(name, _MAX_VERSION_CHARS)))
        start = end
    return found


def _point_text(series: Series, row: HistoryRow, point: SeriesPoint) -> str:
    """Return a run with its value, its interval, and its result."""
    value = series.show(point.value)
    if point.low is not None and point.high is not None:
        value += f" ({series.show(point.low)} to {series.show(point.high)})"
    result = row.result.word if row.result is not None else row.kind
    return f"{version_name(row)}, {minute_text(row.created)}: {value}, {result}"
