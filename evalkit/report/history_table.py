"""Render the history of a set for a terminal: newest verdict, trend, and one line for each run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from evalkit.compare.history import HistoryRow
from evalkit.core.literals import Outcome
from evalkit.report.content import NO_VALUE, change_cell, value_cell
from evalkit.report.history_content import (
    Series,
    build_series,
    describe_runs,
    group_by_agent,
    list_definition_changes,
    minute_text,
    summarize_history,
    version_name,
)
from evalkit.report.screen import (
    OUTCOME_STYLES,
    Cell,
    Screen,
    Style,
    align_columns,
    join_sections,
)

_BARS, _ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-=+*%#"
_MAX_BARS = 40
_COUNTED: dict[Outcome, str] = {
    "pass": "passed",
    "inconclusive": "inconclusive",
    "undecided": "undecided",
    "fail": "failed",
}
_MIN_ROWS = 5
_NARROW = {"agent": 12, "errors": 8, "version": 8}
"""The columns that may be cut, in the order in which they shrink, with their least widths."""


class _Column(NamedTuple):
    """One column of the table; `is_needed` is set if no width leaves it out."""

    title: str
    cells: list[Cell]
    is_needed: bool = False
    is_number: bool = False


def history_text(
    name: str,
    rows: Sequence[HistoryRow],
    notes: Sequence[str],
    screen: Screen,
    *,
    verbose: bool = False,
) -> str:
    """Render the runs of a set, newest first, on one screen; with `verbose`, all of them.

    Trend and counts are those of the agent of the newest run, because runs of another agent say nothing
    about it.
    """
    own = next(iter(group_by_agent(rows).values()), list(rows))
    lead = [_headline(name, own, rows, screen), _trend_lines(own, screen)]
    end = [
        _constant_lines(own, rows, screen),
        screen.fold_all(notes, indent="  - ", hang="    "),
        [_closing_line(name, own, rows, screen)],
    ]
    newest_first = list(reversed(rows))
    # Title row, two blank lines around the table, and the line for the next prompt.
    used = join_sections([*lead, *end]).count("\n") + 4
    most = max(screen.height - used, _MIN_ROWS)
    # One line says how many rows are left out.
    most = len(rows) if verbose or most >= len(rows) else max(most - 1, _MIN_ROWS)
    table = _table(newest_first, most, own, screen)
    if most < len(rows):
        table.append(f"  {len(rows) - most:,} older: -v")
    return join_sections([*lead, table, *end])


def _outcome_cell(row: HistoryRow) -> Cell:
    if row.kind == "baseline":
        return Cell("baseline", "dim")
    if row.result is None:
        return Cell(NO_VALUE, "dim")
    return Cell(row.result.word, OUTCOME_STYLES[row.result.outcome])


def _newest_verdict(rows: Sequence[HistoryRow]) -> tuple[str, Style]:
    """Return the word of the newest run that has a gate result, and its style."""
    decided = [row.result for row in rows if row.result is not None]
    return (decided[-1].word, OUTCOME_STYLES[decided[-1].outcome]) if decided else ("", "")


def _headline(
    name: str, own: Sequence[HistoryRow], rows: Sequence[HistoryRow], screen: Screen
) -> list[str]:
    word, style = _newest_verdict(own)
    since, why = summarize_history(own, describe_runs(own, rows, shorten_agents(rows)))
    other = "" if word == "PASS" or "last PASS" in since else _other_pass_text(own, rows)
    text = " ".join(filter(None, (f"{name}: {since}", other, why)))
    indent = f"{word}  " if word else ""
    lines = screen.fold(text, indent=indent, hang=" " * len(indent))
    return screen.paint_start(lines, word, style)


def _other_pass_text(own: Sequence[HistoryRow], rows: Sequence[HistoryRow]) -> str:
    """Return the newest run of another agent that passed; empty if there is none."""
    agents = shorten_agents(rows)
    for row in reversed(rows):
        if row not in own and row.result is not None and row.result.outcome == "pass":
            when = minute_text(row.created)
            return f"Last PASS {version_name(row)} of {agents[row.agent]}, {when}."
    return ""


def shorten_agents(rows: Sequence[HistoryRow]) -> dict[str, str]:
    """Return each agent without the folder and the function that all agents share."""
    names = list(dict.fromkeys(row.agent for row in rows))
    if len(names) < 2:
        return {name: name for name in names}
    folders = {name.rpartition("/")[0] for name in names}
    functions = {name.rpartition(":")[2] for name in names}
    shown = {name: name for name in names}
    if len(functions) == 1:
        shown = {name: text.rpartition(":")[0] or text for name, text in shown.items()}
    if len(folders) == 1:
        shown = {name: text.rpartition("/")[2] for name, text in shown.items()}
    return shown


def _trend_lines(own: Sequence[HistoryRow], screen: Screen) -> list[str]:
    """Return the value of every run as a bar, oldest first, for the series that decides."""
    first = next((each for each in build_series(own) if each.known), None)
    if first is None or len(first.known) < 2:
        return []
    newest = first.newest
    parts = [f"{first.title}  {draw_bars(first, screen)}  {first.range_text}"]
    if newest.baseline is not None:
        parts.append(f"baseline {first.show(newest.baseline)}")
    for word, limit in (("at least", newest.lower), ("at most", newest.upper)):
        if limit is not None:
            parts.append(f"{word} {first.show(limit)}")
    return screen.fold(", ".join(parts), indent="  ", hang="    ")


def draw_bars(series: Series, screen: Screen) -> str:
    """Return one bar for each of the newest values of a series, scaled from the least to the largest."""
    bars = _BARS if screen.unicode else _ASCII_BARS
    values = [point.value for point in series.known if point.value is not None][-_MAX_BARS:]
    low, high = min(values), max(values)
    reach = high - low or 1.0
    return "".join(bars[round((value - low) / reach * (len(bars) - 1))] for value in values)


def _split_series(
    own: Sequence[HistoryRow], rows: Sequence[HistoryRow]
) -> tuple[list[Series], list[Series]]:
    """Return the series over all rows that have columns, and those that are the same in every run.

    The first series decides the newest run, and always has a column.
    """
    names = [each.title for each in build_series(own) if each.known]
    found = {each.title: each for each in build_series([row for row in rows if not row.selection])}
    ordered = [found[name] for name in names if name in found]
    varying = [each for each in ordered[1:] if not each.is_constant]
    if len(rows) == 1:
        varying = ordered[1:]
    constant = [each for each in ordered[1:] if each not in varying]
    return [*ordered[:1], *varying], constant


def _constant_lines(
    own: Sequence[HistoryRow], rows: Sequence[HistoryRow], screen: Screen
) -> list[str]:
    _, constant = _split_series(own, rows)
    if not constant:
        return []
    names = ", ".join(f"{each.title} {each.range_text}" for each in constant)
    return screen.fold(f"constant: {names}", indent="  ", hang="    ")


def _table(
    rows: Sequence[HistoryRow], most: int, own: Sequence[HistoryRow], screen: Screen
) -> list[str]:
    """Return the newest `most` rows with as many columns as the screen is wide enough for."""
    columns = [column for column in _columns(rows, own) if any(cell.text for cell in column.cells)]
    shown = [column for column in columns if column.is_needed]
    lines = _align(shown, most, screen, _NARROW)
    if len(lines) != most + 1:
        # Not even these fit, so each row is a paragraph, which has space for all.
        return _align(columns, most, screen)
    for column in columns:
        if not column.is_needed:
            more = [each for each in columns if each in shown or each is column]
            # No column is cut to make space for one that may be left out.
            wider = _align(more, most, screen)
            if len(wider) == most + 1:
                shown, lines = more, wider
    return lines


def _align(
    columns: Sequence[_Column], most: int, screen: Screen, narrow: Mapping[str, int] | None = None
) -> list[str]:
    titles = [column.title for column in columns]
    return align_columns(
        [[column.cells[index] for column in columns] for index in range(most)],
        screen,
        titles=titles,
        shrinkable={
            titles.index(name): least for name, least in (narrow or {}).items() if name in titles
        },
        right=[index for index, column in enumerate(columns) if column.is_number],
    )


def _columns(rows: Sequence[HistoryRow], own: Sequence[HistoryRow]) -> Iterator[_Column]:
    """Yield the columns from left to right; `rows` are newest first."""
    oldest_first = list(reversed(rows))
    yield _Column("date", [Cell(minute_text(row.created).replace(",", "")) for row in rows], True)
    yield _Column("version", [Cell(row.version or NO_VALUE) for row in rows], True)
    yield _Column("verdict", [_outcome_cell(row) for row in rows], True)
    shown, _ = _split_series(own, oldest_first)
    found = {series.title: series for series in build_series(oldest_first)}
    for number, series in enumerate(shown):
        yield from _series_columns(found[series.title], is_first=number == 0)
    yield _Column("cost", [Cell(_cost_text(row)) for row in rows], is_number=True)
    yield _Column("errors", [Cell(_errors_text(row)) for row in rows], True)
    # A change of the set or the judge may explain a jump that the agent did not cause.
    changes = list(reversed(list_definition_changes(oldest_first)))
    yield _Column(
        "now with", [Cell(_note_text(*each)) for each in zip(rows, changes, strict=True)], True
    )
    agents = shorten_agents(rows)
    if len(agents) > 1:
        yield _Column("agent", [Cell(agents[row.agent]) for row in rows], True)


def _series_columns(series: Series, *, is_first: bool) -> Iterator[_Column]:
    """Yield the values of a series; of the first one, also the change and the interval."""
    points = list(reversed(series.points))
    values = [Cell("" if each.value is None else series.show(each.value)) for each in points]
    yield _Column(series.title, values, is_needed=is_first, is_number=True)
    if not is_first:
        return
    changes = [
        ""
        if each.value is None or each.baseline is None or series.unit
        else change_cell(each.value - each.baseline, "")
        for each in points
    ]
    yield _Column("change", list(map(Cell, changes)), is_number=True)
    intervals = [
        ""
        if each.low is None or each.high is None
        else f"{_without_unit(each.low, series)} to {series.show(each.high)}"
        for each in points
    ]
    yield _Column("interval", list(map(Cell, intervals)))


def _without_unit(value: float, series: Series) -> str:
    return series.show(value).removesuffix("%").removesuffix(f" {series.unit}")


def _cost_text(row: HistoryRow) -> str:
    return value_cell(row.cost_usd, "usd") if row.cost_usd else ""


def _errors_text(row: HistoryRow) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in row.errors.items())


def _note_text(row: HistoryRow, changed: str) -> str:
    notes = (f"new {changed}" if changed else "", "some cases" if row.selection else "")
    return ", ".join(filter(None, notes))


def _closing_line(
    name: str, own: Sequence[HistoryRow], rows: Sequence[HistoryRow], screen: Screen
) -> str:
    word, style = _newest_verdict(own)
    runs = [row for row in own if row.kind == "run"]
    counts = Counter(row.result.outcome for row in runs if row.result is not None)
    results = ", ".join(f"{counts[each]} {_COUNTED[each]}" for each in _COUNTED if counts[each])
    what = describe_runs(own, rows, shorten_agents(rows))
    what = what.replace("runs", "run", 1) if len(runs) == 1 else what
    text = "  ".join(filter(None, (name, f"{len(runs):,} {what}", results)))
    start = f"{screen.paint(word, style)}  " if word else ""
    return f"{start}{screen.show(text, screen.columns - len(word) - 2)}"
