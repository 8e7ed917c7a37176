"""Build the tables of a history: its runs, and the tags and calls of the newest one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from evalkit.compare.history import HistoryRow
from evalkit.core.literals import Outcome
from evalkit.report.content import change_cell, value_cell
from evalkit.report.history import interval_text
from evalkit.report.history_content import (
    Series,
    list_definition_changes,
    minute_text,
    version_name,
)
from evalkit.report.history_points import SeriesPoint
from evalkit.report.html.views import TableCell

_MAX_METRICS = 8


class HistoryCell(NamedTuple):
    """A cell of the table of runs; numbers are aligned to the right, ids are set as code."""

    text: str
    kind: str = ""


class HistoryTableRow(NamedTuple):
    """A row of the table of runs; `number` is that of its link, `agent` that of its agent, 0 if it has none."""

    number: int
    agent: int
    version: str
    outcome: Outcome | None
    word: str
    cells: list[HistoryCell]


class HistoryTable(NamedTuple):
    """The runs, newest first; a title whose kind is `num` is aligned to the right."""

    titles: list[HistoryCell]
    rows: list[HistoryTableRow]


Points = Mapping[tuple[str, str], tuple[Series, SeriesPoint]]
"""The point of each run, with its series, by the run's id and the title of the series."""


def run_table(
    rows: Sequence[HistoryRow], titles: Sequence[str], agents: Mapping[str, int], points: Points
) -> HistoryTable:
    """Return the runs, newest first, without empty columns; the first of the series has its change, too."""
    changes = list_definition_changes(rows)
    named = list(dict.fromkeys(name for row in rows for name, _ in _cells(row, titles, "", points)))
    found = [
        dict(_cells(row, titles, changed, points))
        for row, changed in zip(rows, changes, strict=True)
    ]
    used = [name for name in named if any(cells[name].text not in ("", "-") for cells in found)]
    return HistoryTable(
        titles=[
            HistoryCell(name, "num" if any(cells[name].kind == "num" for cells in found) else "")
            for name in used
        ],
        rows=[
            HistoryTableRow(
                number=number,
                agent=agents.get(row.agent, 0),
                version=version_name(row),
                outcome=row.result.outcome if row.result is not None else None,
                word=_result_word(row),
                cells=[found[number][name] for name in used],
            )
            for number, row in reversed(list(enumerate(rows)))
        ],
    )


def _result_word(row: HistoryRow) -> str:
    if row.result is not None:
        return row.result.word
    return "baseline" if row.kind == "baseline" else "no result"


def _cells(
    row: HistoryRow, titles: Sequence[str], changed: str, points: Points
) -> Iterator[tuple[str, HistoryCell]]:
    """Yield the title and the cell of each column after the version, the date, and the result."""
    yield "date (UTC)", HistoryCell(minute_text(row.created))
    yield "agent", HistoryCell(row.agent, "code")
    for index, title in enumerate(titles):
        series, point = points.get((row.id, title), (None, None))
        if series is None or point is None:
            # A run of some cases only is in no plot.
            series, point = Series(title=title, unit="", points=()), SeriesPoint()
        yield title, HistoryCell(series.show(point.value), "num")
        if index == 0:
            yield "change", HistoryCell(_change_text(series, point), "num")
            yield "90% interval", HistoryCell(_interval_text(series, point), "num")
    yield "trials", HistoryCell(f"{row.trials:,}", "num")
    yield (
        "cost",
        HistoryCell(value_cell(row.cost_usd, "usd") if row.cost_usd is not None else "", "num"),
    )
    yield "errors", HistoryCell(", ".join(f"{count} {kind}" for kind, count in row.errors.items()))
    yield "selected", HistoryCell(row.selection)
    yield "now with", HistoryCell(f"another {changed}" if changed else "")
    yield "run", HistoryCell(row.id, "code")


def _change_text(series: Series, point: SeriesPoint) -> str:
    if point.value is None or point.baseline is None:
        return ""
    change = point.value - point.baseline
    if not series.unit:
        return change_cell(change, "")
    return change_cell(change / abs(point.baseline), series.unit) if point.baseline else ""


def _interval_text(series: Series, point: SeriesPoint) -> str:
    if point.low is None or point.high is None:
        return ""
    return f"{series.show(point.low)} to {series.show(point.high)}"


def call_table(row: HistoryRow) -> list[list[TableCell]]:
    """Return the calls of a run by tool and by model."""
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


def tag_table(row: HistoryRow) -> tuple[list[str], list[list[TableCell]]]:
    """Return the titles and the rows of a run's means by tag."""
    tags = list(dict.fromkeys(each.tag for each in row.metrics if each.tag is not None))
    names = [each.metric for each in row.metrics if each.tag is None and not each.unit]
    names = names[:_MAX_METRICS]
    table = [
        [TableCell(tag), *(TableCell(interval_text(row.find(name, tag))) for name in names)]
        for tag in tags
    ]
    return ["tag", *names], table
