"""Lay out a table with as many of its columns as a terminal is wide enough for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from evalkit.core.safe_text import cell_width
from evalkit.report.screen import Cell, Screen, align_columns


class Column(NamedTuple):
    """A column of a table. With rank 0 it is on every screen; others are added by rank while they fit."""

    rank: int
    title: str
    cells: list[Cell]
    is_number: bool = False

    @property
    def width(self) -> int:
        """Its width with the gap before it; 0 without any text."""
        widths = [cell_width(text) for text in (self.title, *(cell.text for cell in self.cells))]
        return max(widths) + 2 if any(widths) else 0


def fit_columns(columns: Sequence[Column], screen: Screen, *, least: int = 12) -> list[str]:
    """Align the columns for which there is space, a line for each row.

    The first one may be cut to `least` cells. If that is not enough, each row is a paragraph.
    """
    chosen = {index for index, column in enumerate(columns) if not column.rank}
    used = sum(columns[index].width for index in chosen)
    for index in sorted(range(len(columns)), key=lambda index: columns[index].rank):
        if index not in chosen and used + columns[index].width <= screen.columns:
            chosen.add(index)
            used += columns[index].width
    shown = [columns[index] for index in sorted(chosen)]
    return align_columns(
        [[column.cells[row] for column in shown] for row in range(len(shown[0].cells))],
        screen,
        titles=[column.title for column in shown],
        shrinkable={0: least},
        right=[index for index, column in enumerate(shown) if column.is_number],
    )
