"""Render a traffic report for a terminal: one screen, or all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from evalkit.core.format import format_duration
from evalkit.core.safe_text import cell_width
from evalkit.report.screen import (
    Cell,
    Screen,
    Style,
    align_columns,
    join_sections,
)
from evalkit.traffic.measures import find_measure
from evalkit.traffic.report_content import (
    SUMMARY,
    Row,
    change_interval_text,
    change_text,
    choose_rows,
    errors_text,
    estimate_text,
    find_difference,
    headline,
    interval_text,
    list_change_sentences,
    list_rows,
    series_of,
    summarize,
    title_of,
)
from evalkit.traffic.report_record import Breakdown, Comparison, Direction, TrafficReport

_BARS, _ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-=+*%#"
_STYLES: dict[Direction, Style] = {"worse": "bad", "better": "good", "changed": "warn"}
_WORDS: dict[Direction, str] = {"no difference shown": "", "too little data": "too few"}
_MIN_ROWS = 6
_MIN_NAME = 12


def report_text(report: TrafficReport, screen: Screen, *, verbose: bool = False) -> str:
    """Render a report on one screen; with `verbose`, with every measure and every group."""
    lead = _lead_lines(report, screen)
    notes = screen.fold_all(report.warnings, indent="  - ", hang="    ")
    changes = _change_lines(report, screen)
    errors = errors_text(report.whole)
    error_lines = screen.fold(f"errors: {errors}", indent="  ", hang="    ") if errors else []
    breakdowns = [lines for each in report.breakdowns if (lines := _breakdown_lines(each, screen))]
    if verbose:
        tables = [_table_lines(report, each, screen) for each in report.comparisons or (None,)]
        return join_sections([lead, *tables, changes, error_lines, *breakdowns, notes])
    fixed = [lead, changes, error_lines, notes]
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
    return join_sections([lead, table, changes, error_lines, *shown, notes, rest])


def _lead_lines(report: TrafficReport, screen: Screen) -> list[str]:
    lines = screen.fold(headline(report), hang="  ")
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
    report: TrafficReport, comparison: Comparison | None, screen: Screen, most: int | None = None
) -> list[str]:
    """Return a line for each measure, with as many columns as the screen is wide enough for."""
    rows = list_rows(report) if most is None else choose_rows(report, comparison, most)
    return _fit_columns(list(_list_columns(report, rows, comparison, screen)), screen)


class _Column(NamedTuple):
    """A column of a table, and whether it is shown on every screen."""

    is_needed: bool
    title: str
    cells: list[Cell]
    is_number: bool

    @property
    def width(self) -> int:
        """Its width with the gap before it; 0 without any text."""
        widths = [cell_width(text) for text in (self.title, *(cell.text for cell in self.cells))]
        return max(widths) + 2 if any(widths) else 0


def _fit_columns(columns: Sequence[_Column], screen: Screen) -> list[str]:
    """Align the columns that are needed, and of the others those for which there is space."""
    shown = [column for column in columns if column.is_needed]
    for column in columns:
        if not column.is_needed and sum(each.width for each in (*shown, column)) <= screen.columns:
            shown.append(column)
    ordered = [column for column in columns if column in shown]
    return align_columns(
        [[column.cells[index] for column in ordered] for index in range(len(ordered[0].cells))],
        screen,
        titles=[column.title for column in ordered],
        shrinkable={0: _MIN_NAME},
        right=[index for index, column in enumerate(ordered) if column.is_number],
    )


def _list_columns(
    report: TrafficReport, rows: Sequence[Row], comparison: Comparison | None, screen: Screen
) -> Iterator[_Column]:
    """Yield the columns of the measures, from left to right."""
    found = [report.whole.find(row.measure.name, row.stat) for row in rows]
    yield _Column(True, "", [Cell(row.title) for row in rows], False)
    yield _Column(True, "all", [Cell(estimate_text(each)) for each in found], True)
    yield _Column(False, "90% interval", [Cell(interval_text(each)) for each in found], False)
    if comparison is not None:
        changes = [find_difference(comparison, row) for row in rows]
        for name, side in ((comparison.base, "base"), (comparison.candidate, "candidate")):
            cells = [Cell(estimate_text(getattr(each, side, None))) for each in changes]
            yield _Column(True, name, cells, True)
        yield _Column(
            True, "change", [Cell(change_text(each) if each else "") for each in changes], True
        )
        bounds = [Cell(change_interval_text(each) if each else "") for each in changes]
        yield _Column(False, "its interval", bounds, False)
        words = [each.direction if each else "no difference shown" for each in changes]
        cells = [Cell(_WORDS.get(word, word), _STYLES.get(word, "dim")) for word in words]
        yield _Column(True, "", cells, False)
    step = format_duration(report.step_s).replace(" 0 min", "")
    bars = [Cell(_draw_bars(series_of(report, row), screen)) for row in rows]
    yield _Column(False, f"in steps of {step}", bars, False)


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


def _change_lines(report: TrafficReport, screen: Screen) -> list[str]:
    sentences = list(list_change_sentences(report))
    return screen.fold_all(
        (f"changed {sentence}" for sentence in sentences), indent="  ", hang="    "
    )


def _breakdown_lines(breakdown: Breakdown, screen: Screen) -> list[str]:
    """Return a line for each group; nothing if there is one group only."""
    groups = breakdown.groups
    if len(groups) < 2:
        return []
    columns = [
        _Column(True, f"by {breakdown.by}", [Cell(group.name) for group in groups], False),
        _Column(True, "requests", [Cell(f"{group.requests:,}") for group in groups], True),
    ]
    for measure, stat in SUMMARY:
        found = [group.find(measure, stat) for group in groups]
        if any(each is not None and each.value is not None for each in found):
            title = title_of(measure, stat).removesuffix(" of a request")
            values = [Cell(estimate_text(each)) for each in found]
            columns.append(_Column(measure == SUMMARY[0][0], title, values, True))
            if find_measure(measure).kind == "rate":
                bounds = [Cell(interval_text(each)) for each in found]
                columns.append(_Column(False, "90% interval", bounds, False))
    lines = _fit_columns(columns, screen)
    if breakdown.unlisted:
        lines.append(f"  and {breakdown.unlisted:,} smaller")
    return lines
