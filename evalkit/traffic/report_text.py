"""Render a traffic report for a terminal: one screen, or all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evalkit.core.format import format_duration
from evalkit.report.screen import (
    Cell,
    Screen,
    Style,
    join_sections,
)
from evalkit.traffic.fitted_columns import Column, fit_columns
from evalkit.traffic.measures import find_measure
from evalkit.traffic.report_content import (
    SUMMARY,
    Row,
    bounds_text,
    change_bounds_text,
    change_text,
    choose_rows,
    direction_text,
    errors_text,
    estimate_text,
    find_difference,
    list_change_sentences,
    list_rows,
    series_of,
    summarize,
    title_of,
    traffic_headline,
)
from evalkit.traffic.report_record import ArmComparison, Breakdown, TrafficReport

_BARS, _ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-=+*%#"
_STYLES: dict[str, Style] = {"worse": "bad", "better": "good", "changed": "warn"}
_WORDS: dict[str, str] = {"no difference shown": "", "too little data": "too few"}
_MIN_ROWS = 6
_MOST_CHANGED = 2


def report_text(report: TrafficReport, screen: Screen, *, verbose: bool = False) -> str:
    """Render a report on one screen; with `verbose`, with every measure and every group."""
    lead = _lead_lines(report, screen)
    notes = screen.fold_all(report.warnings, indent="  - ", hang="    ")
    breakdowns = [lines for each in report.breakdowns if (lines := _breakdown_lines(each, screen))]
    if verbose:
        tables = [_table_lines(report, each, screen) for each in report.comparisons or (None,)]
        events = _event_lines(report, screen)
        return join_sections([lead, *tables, events, *breakdowns, notes])
    events = _event_lines(report, screen, most=_MOST_CHANGED)
    fixed = [lead, events, notes]
    # A title row, the empty lines between sections, the line of what is left out, and the prompt.
    space = screen.height - join_sections(fixed).count("\n") - 5
    comparison = report.comparisons[0] if report.comparisons else None
    table = _table_lines(report, comparison, screen, most=max(space, _MIN_ROWS))
    space -= len(table)
    shown = []
    for each in breakdowns:
        if len(each) + 1 > space:
            break
        shown.append(each)
        space -= len(each) + 1
    rest = _left_out(report, breakdowns[len(shown) :], table, screen)
    return join_sections([lead, table, events, *shown, notes, rest])


def _lead_lines(report: TrafficReport, screen: Screen) -> list[str]:
    lines = screen.fold(traffic_headline(report), hang="  ")
    for comparison in report.comparisons:
        word, text = summarize(report, comparison)
        start = word.upper()
        folded = screen.fold(text, indent=f"{start}  ", hang="  ")
        lines += screen.paint_start(folded, start, "bad" if word == "worse" else "good")
    return lines


def _left_out(
    report: TrafficReport, hidden: Sequence[list[str]], table: Sequence[str], screen: Screen
) -> list[str]:
    """Return what the screen had no space for."""
    names = [each.by for each in report.breakdowns if len(each.groups) > 1]
    parts = []
    rows = len(list_rows(report)) - (len(table) - 1)
    if rows > 0:
        parts.append(f"{rows} more measures")
    if hidden:
        parts.append(f"by {', '.join(names[-len(hidden) :])}")
    return screen.fold(f"{'; '.join(parts)}: -v", indent="  ") if parts else []


def _table_lines(
    report: TrafficReport, comparison: ArmComparison | None, screen: Screen, most: int | None = None
) -> list[str]:
    """Return a line for each measure, with as many columns as the screen is wide enough for."""
    rows = list_rows(report) if most is None else choose_rows(report, comparison, most)
    return fit_columns(list(_list_columns(report, rows, comparison, screen)), screen)


def _list_columns(
    report: TrafficReport, rows: Sequence[Row], comparison: ArmComparison | None, screen: Screen
) -> Iterator[Column]:
    """Yield the columns of the measures, from left to right."""
    found = [report.whole.find(row.measure.name, row.stat) for row in rows]
    yield Column(0, "", [Cell(row.title) for row in rows])
    yield Column(0, "all", [Cell(estimate_text(each)) for each in found], is_number=True)
    yield Column(1, "90% interval", [Cell(bounds_text(each)) for each in found])
    if comparison is not None:
        changes = [find_difference(comparison, row) for row in rows]
        for name, side in ((comparison.base, "base"), (comparison.candidate, "candidate")):
            cells = [Cell(estimate_text(getattr(each, side, None))) for each in changes]
            yield Column(0, name, cells, is_number=True)
        yield Column(
            True, "change", [Cell(change_text(each) if each else "") for each in changes], True
        )
        bounds = [Cell(change_bounds_text(each) if each else "") for each in changes]
        yield Column(1, "its interval", bounds)
        words = [direction_text(each) if each else "" for each in changes]
        cells = [Cell(_WORDS.get(word, word), _STYLES.get(word, "dim")) for word in words]
        yield Column(0, "", cells)
    step = format_duration(report.step_s).replace(" 0 min", "")
    bars = [Cell(_draw_bars(series_of(report, row), screen)) for row in rows]
    yield Column(1, f"in steps of {step}", bars)


def _draw_bars(values: Sequence[float | None], screen: Screen) -> str:
    """Return a bar for each step, from the least to the largest value; a space without a value."""
    bars = _BARS if screen.unicode else _ASCII_BARS
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ""
    low = min(known)
    reach = max(known) - low or 1.0
    return "".join(
        " " if value is None else bars[round((value - low) / reach * (len(bars) - 1))]
        for value in values
    )


def _event_lines(report: TrafficReport, screen: Screen, most: int | None = None) -> list[str]:
    """Return what changed when, and the errors."""
    texts = [f"changed {sentence}" for sentence in list_change_sentences(report, most)]
    errors = errors_text(report.whole)
    return screen.fold_all(
        [*texts, *([f"errors: {errors}"] if errors else [])], indent="  ", hang="    "
    )


def _breakdown_lines(breakdown: Breakdown, screen: Screen) -> list[str]:
    """Return a line for each group; nothing if there is one group only."""
    groups = breakdown.groups
    if len(groups) < 2:
        return []
    columns = [
        Column(0, f"by {breakdown.by}", [Cell(group.name) for group in groups]),
        Column(0, "requests", [Cell(f"{group.requests:,}") for group in groups], is_number=True),
    ]
    for measure, stat in SUMMARY:
        found = [group.find(measure, stat) for group in groups]
        if any(each is not None and each.value is not None for each in found):
            title = title_of(measure, stat).removesuffix(" of a request").removeprefix("latency ")
            values = [Cell(estimate_text(each)) for each in found]
            is_first = measure == SUMMARY[0][0]
            columns.append(Column(0 if is_first else 2, title, values, is_number=True))
            if find_measure(measure).kind == "rate":
                bounds = [Cell(bounds_text(each)) for each in found]
                columns.append(Column(1 if is_first else 3, "90% interval", bounds))
    lines = fit_columns(columns, screen)
    if breakdown.unlisted:
        lines.append(f"  and {breakdown.unlisted:,} smaller")
    return lines
