"""Lay out a comparison of versions: a forest plot of every metric, and a heat strip of the cases that differ."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from evalkit.compare.matrix import MatrixCase, MatrixCell, MatrixRow
from evalkit.core.safe_text import one_line
from evalkit.report import diff_content
from evalkit.report.case_status import passes_text
from evalkit.report.content import value_cell
from evalkit.report.html.axis import Axis, fit_axis
from evalkit.report.html.axis_labels import WIDTHS, place_labels, tick_text
from evalkit.report.html.views import true_minus
from evalkit.report.version_matrix import VersionMatrix
from evalkit.report.versions_content import (
    CaseGroup,
    case_group_texts,
    change_class,
    is_alike,
    leader_text,
    row_finding,
)

View: TypeAlias = dict[str, Any]

MARKS = 6
"""How many versions have a shape of their own; the next one has the shape of the first."""

_MAX_LABEL_CHARS = 40
_LINE_PX, _PAD_PX = 18.0, 10.0
_HEAT_PX, _HEAT_TOP_PX = 26.0, 20.0
# The gap between groups, as a multiple of the width of a case.
_GROUP_GAP = 0.6
_STEPS = 4


class Forest(NamedTuple):
    """Metrics that differ and share an axis, with the labels of the axis."""

    title: str
    about: str
    axes: list[View]


def version_views(shown: VersionMatrix) -> list[View]:
    """Return the label, the mark, and the runs of each version."""
    return [
        {
            "label": one_line(label, _MAX_LABEL_CHARS),
            "mark": index % MARKS,
            "agent": run.header.agent_entrypoint,
            "about": about,
        }
        for index, (run, (label, about)) in enumerate(
            zip(shown.runs, diff_content.version_rows(shown), strict=True)
        )
    ]


def build_forests(shown: VersionMatrix, rows: Sequence[MatrixRow]) -> list[Forest]:
    """Return the metrics that differ: shares on one axis, then each unit on one of its own."""
    shares = [row for row in rows if not row.unit]
    forests = []
    if shares:
        axis = _fit(shares)
        about = "shares on one axis, fitted to all intervals"
        forests.append(
            Forest("Means with 90% intervals", about, [_axis_view(shown, shares, axis, "")])
        )
    units = list(dict.fromkeys(row.unit for row in rows if row.unit))
    if units:
        axes = []
        for unit in units:
            same = [row for row in rows if row.unit == unit]
            # From zero, so that twice the length is twice the cost.
            axes.append(_axis_view(shown, same, fit_axis([0.0, *_ends(same)], least=0.0), unit))
        forests.append(
            Forest("Cost, time, and other measurements", "each unit has its own axis, from 0", axes)
        )
    return forests


def _ends(rows: Sequence[MatrixRow]) -> list[float | None]:
    return [
        value for row in rows for cell in row.cells for value in (cell.mean, cell.low, cell.high)
    ]


def _fit(rows: Sequence[MatrixRow]) -> Axis:
    known = [value for value in _ends(rows) if value is not None]
    is_share = all(0 <= value <= 1 for value in known)
    return fit_axis(known, least=0.0 if is_share else None, most=1.0 if is_share else None)


def _axis_view(shown: VersionMatrix, rows: Sequence[MatrixRow], axis: Axis, unit: str) -> View:
    ticks = axis.ticks(partial(tick_text, unit=unit), 4)
    if unit and unit != "usd":
        # The unit is with the last tick, because a plot of several metrics has no other place for it.
        ticks = (*ticks[:-1], ticks[-1]._replace(text=f"{ticks[-1].text} {unit}"))
    return {"ticks": ticks, "rows": [_row_view(shown, row, axis) for row in rows]}


def _row_view(shown: VersionMatrix, row: MatrixRow, axis: Axis) -> View:
    count = len(row.cells)
    height = _LINE_PX * count + _PAD_PX
    leads = len(row.leaders) < count and bool(row.leaders)
    lines, cells = [], []
    for index, cell in enumerate(row.cells):
        y = _PAD_PX / 2 + _LINE_PX * (index + 0.5)
        if cell.mean is not None:
            lines.append(
                {
                    "y": y,
                    "x": axis.place(cell.mean),
                    "mark": index % MARKS,
                    "interval": None
                    if cell.low is None or cell.high is None
                    else (axis.place(cell.low), axis.place(cell.high)),
                }
            )
        cells.append(
            {
                "mark": index % MARKS,
                "value": true_minus(diff_content.mean_text(cell, row.unit)),
                "is_leader": leads and index in row.leaders,
                "change": true_minus(diff_content.cell_change_text(cell)) if index else "",
                "class": change_class(row, index) if index else "",
                "interval": true_minus(_interval_text(cell, row.unit)),
            }
        )
    return {
        "name": diff_content.row_name(row),
        "leaders": leader_text(row, shown.labels),
        "is_clear": len(row.leaders) == 1,
        "label": row_finding(row, shown.labels),
        "height": height,
        "lines": lines,
        "cells": cells,
    }


def _interval_text(cell: MatrixCell, unit: str) -> str:
    """Return an interval, without the unit if it is a word, which the value has."""
    text = diff_content.cell_interval_text(cell, unit)
    return text.replace(f" {unit}", "") if unit else text


def split_rows(rows: Sequence[MatrixRow]) -> tuple[list[MatrixRow], list[MatrixRow]]:
    """Return the metrics that differ, and those that show the same value in every version."""
    return [row for row in rows if not is_alike(row)], [row for row in rows if is_alike(row)]


def alike_texts(rows: Sequence[MatrixRow]) -> list[tuple[str, str]]:
    """Return the names and the common values of metrics that are alike in every version."""
    return [
        (
            diff_content.row_name(row),
            next((value_cell(cell.mean, row.unit) for cell in row.cells), ""),
        )
        for row in rows
    ]


def build_heat(groups: Sequence[CaseGroup], labels: Sequence[str], anchor: str) -> View:
    """Return the heat strip: a column for each case, a row for each version, from pale (passes) to dark.

    Args:
        groups: the cases that differ, by who passes.
        labels: the versions.
        anchor: `case` if a group links to its first case, `group` if it links to its list.
    """
    columns = sum(len(group.cases) for group in groups) + _GROUP_GAP * max(len(groups) - 1, 0)
    cells: list[tuple[float, float, float, str]] = []
    names: list[tuple[float, str]] = []
    links: list[View] = []
    at = 0.0
    for group, text in zip(groups, case_group_texts(groups), strict=True):
        start = at / columns
        for case in group.cases:
            for row in range(len(labels)):
                y = _HEAT_TOP_PX + _HEAT_PX * row
                cells.append((at / columns, 1 / columns, y, heat_class(case, row)))
            at += 1
        names.append(((start + at / columns) / 2, f"{group.letter} {len(group.cases)}"))
        links.append(
            {
                "x": start,
                "width": at / columns - start,
                "href": f"#{anchor}-{group.cases[0].case_id if anchor == 'case' else group.letter}",
                "text": text,
            }
        )
        at += _GROUP_GAP
    count = sum(len(group.cases) for group in groups)
    return {
        "height": _HEAT_TOP_PX + _HEAT_PX * len(labels),
        "cell_height": _HEAT_PX - 2,
        "cells": cells,
        "names": place_labels(names, WIDTHS),
        "links": links,
        "groups": case_group_texts(groups),
        "rows": [
            (_HEAT_TOP_PX + _HEAT_PX * (row + 0.5) + 3, one_line(label, 12))
            for row, label in enumerate(labels)
        ],
        "label": f"{count} cases that differ, by who passes: {'; '.join(case_group_texts(groups))}",
    }


def heat_class(case: MatrixCase, version: int) -> str:
    """Return the class of a cell: from h0, no trial passes, to h4, all do; hx without a trial."""
    trials = case.trials[version]
    if not trials:
        return "hx"
    passed = case.passed[version]
    # Only all of them is `all`, and only none of them is `none`.
    if passed in (0, trials):
        return f"h{_STEPS if passed else 0}"
    return f"h{min(max(round(_STEPS * passed / trials), 1), _STEPS - 1)}"


def group_views(groups: Sequence[CaseGroup]) -> list[View]:
    """Return each group with its cases: the passes of every version, as a shade and as a count."""
    return [
        {
            "letter": group.letter,
            "title": group.title,
            "count": len(group.cases),
            "cases": [
                {
                    "id": case.case_id,
                    "cells": [
                        (heat_class(case, version), passes_text(passed, trials))
                        for version, (passed, trials) in enumerate(
                            zip(case.passed, case.trials, strict=True)
                        )
                    ],
                }
                for case in group.cases
            ],
        }
        for group in groups
    ]
