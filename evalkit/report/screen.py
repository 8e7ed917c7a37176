"""Lay out rows and sentences as aligned terminal lines that fit and contain only safe characters.

This module uses plain strings instead of rich. A report needs aligned tables and folded sentences
only, rich passes control characters in data through to the terminal, and importing rich takes longer
than the rest of a report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from evalkit.core.literals import Outcome
from evalkit.core.safe_text import (
    cell_width,
    escape_ci_commands,
    escape_non_ascii,
    head,
    one_line,
    wrap,
)

Style: TypeAlias = Literal["", "bold", "dim", "good", "bad", "warn"]

# ECMA-48, Select Graphic Rendition.
_CODES: dict[Style, str] = {"bold": "1", "dim": "2", "good": "32", "bad": "1;31", "warn": "33"}

OUTCOME_STYLES: dict[Outcome, Style] = {
    "pass": "good",
    "fail": "bad",
    "inconclusive": "warn",
    "undecided": "warn",
}

MIN_COLUMNS = 32
"""The smallest width to lay out for. On a narrower terminal, lines are left to wrap."""

# Longer lines are hard to read, however wide the terminal is.
_MAX_SENTENCE_COLUMNS = 100
_MAX_SENTENCE_CHARS = 1500
_COLUMN_GAP = "  "


class Cell(NamedTuple):
    """One field of a row with a style; a field without a style can be plain text."""

    text: str
    style: Style = ""


def _fold_line(line: str, width: int) -> list[str]:
    """Fold one safe line and keep its indentation, up to half of the width."""
    if cell_width(line) <= width:
        return [line]
    stripped = line.lstrip(" ")
    indent = " " * min(len(line) - len(stripped), width // 2)
    return [indent + part for part in wrap(stripped, width - len(indent))]


@dataclass(frozen=True, kw_only=True, slots=True)
class Screen:
    """The terminal that lines are laid out for: width in cells, height in lines, color, and Unicode."""

    width: int = 80
    height: int = 40
    color: bool = False
    unicode: bool = True

    @property
    def columns(self) -> int:
        """The width to lay out for, at least `MIN_COLUMNS`."""
        return max(self.width, MIN_COLUMNS)

    def paint(self, text: str, style: Style) -> str:
        """Color safe text if this screen has color."""
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.color and style and text else text

    def show(self, text: str, width: int) -> str:
        """Return data as one safe line of at most `width` cells."""
        if self.unicode:
            return one_line(text, width)
        return one_line(escape_non_ascii(text[: 8 * width + 1]), width, ellipsis="...")

    def fold(self, text: str, *, indent: str = "", hang: str = "") -> list[str]:
        """Fold a sentence, which may contain data, into safe lines; `hang` indents all but the first."""
        bounded = self.show(text, _MAX_SENTENCE_CHARS)
        sentence = bounded.lstrip(" ")
        indent += " " * min(len(bounded) - len(sentence), 4)
        width = min(self.columns, _MAX_SENTENCE_COLUMNS) - max(len(indent), len(hang))
        lines = [sentence] if cell_width(sentence) <= width else wrap(sentence, width)
        return [f"{hang if number else indent}{line}" for number, line in enumerate(lines)]

    def fold_all(self, texts: Iterable[str], *, indent: str = "", hang: str = "") -> list[str]:
        """Fold each of several sentences."""
        return [line for text in texts for line in self.fold(text, indent=indent, hang=hang)]

    def paint_start(
        self, lines: Sequence[str], start: str, style: Style, *, indent: str = ""
    ) -> list[str]:
        """Color the word or label that folded lines start with."""
        # The start may have been cut or folded.
        if not lines[0].startswith(indent + start):
            return list(lines)
        rest = lines[0][len(indent + start) :]
        return [f"{indent}{self.paint(start, style)}{rest}", *lines[1:]]

    def quote(self, text: str, *, limit: int) -> list[str]:
        """Return at most `limit` characters of data as lines behind a bar that marks a quotation."""
        bar = "│ " if self.unicode else "| "
        width = self.columns - len(_COLUMN_GAP) - len(bar)
        block = head(text, limit) if self.unicode else escape_non_ascii(head(text, limit))
        lines = [part for line in block.split("\n") for part in _fold_line(line, width)]
        return [f"{_COLUMN_GAP}{self.paint(bar, 'dim')}{line}".rstrip() for line in lines]


def heading(text: str, screen: Screen) -> str:
    """Return the title of a section."""
    return screen.paint(screen.show(text, screen.columns), "bold")


def _fit_widths(
    natural: Sequence[int], total: int, shrinkable: Mapping[int, int]
) -> list[int] | None:
    """Shrink columns in the given order until their widths sum to `total`; None if they cannot."""
    widths = list(natural)
    for column, least in shrinkable.items():
        excess = sum(widths) - total
        if excess > 0:
            widths[column] = max(widths[column] - excess, min(least, widths[column]))
    return widths if sum(widths) <= total else None


def _show_cell(field: Cell | str, screen: Screen) -> Cell:
    text, style = field if isinstance(field, Cell) else Cell(field)
    return Cell(screen.show(text, screen.columns), style)


def align_columns(
    rows: Iterable[Sequence[Cell | str]],
    screen: Screen,
    *,
    titles: Sequence[str] = (),
    shrinkable: Mapping[int, int],
    right: Iterable[int] = (),
) -> list[str]:
    """Align rows in columns, one line each; if they do not fit, fold each row as a paragraph.

    `shrinkable` maps each column that may be cut to its minimum width, in the order in which columns
    shrink. `right` are the right-aligned columns. A column without any text is left out.
    """
    table = [[_show_cell(field, screen) for field in row] for row in rows]
    if not table:
        return []
    shown_titles = [Cell(screen.show(title, screen.columns), "dim") for title in titles]
    lines = [shown_titles, *table] if titles else table
    natural = [
        max(cell_width(row[column].text) for row in lines) for column in range(len(table[0]))
    ]
    total = screen.columns - len(_COLUMN_GAP) * sum(width > 0 for width in natural)
    widths = _fit_widths(natural, total, shrinkable)
    if widths is None:
        return [line for row in table for line in _fold_row(row, shown_titles, screen)]
    right_columns = frozenset(right)
    return [_line(row, widths, screen, right_columns) for row in lines]


def _line(row: Sequence[Cell], widths: Sequence[int], screen: Screen, right: frozenset[int]) -> str:
    fields = []
    for column, (text, style) in enumerate(row):
        if not widths[column]:
            continue
        shown = screen.show(text, widths[column])
        padding = " " * (widths[column] - cell_width(shown))
        painted = screen.paint(shown, style)
        fields.append(padding + painted if column in right else painted + padding)
    return (_COLUMN_GAP + _COLUMN_GAP.join(fields)).rstrip()


def _fold_row(row: Sequence[Cell], titles: Sequence[Cell], screen: Screen) -> list[str]:
    names = [title.text for title in titles] or [""] * len(row)
    fields = [
        f"{name} {cell.text}".strip() if cell.text else ""
        for name, cell in zip(names, row, strict=True)
    ]
    start = " ".join(field for field in fields[:2] if field)
    text = ", ".join(field for field in (start, *fields[2:]) if field)
    lines = screen.fold(text, indent=_COLUMN_GAP, hang=_COLUMN_GAP * 2)
    return screen.paint_start(lines, row[0].text, row[0].style, indent=_COLUMN_GAP)


def join_sections(sections: Iterable[Sequence[str]]) -> str:
    """Join sections with an empty line between them, as the text to print."""
    # Escape whole lines, because folding can move any word to the start of a line.
    return escape_ci_commands(
        "\n\n".join("\n".join(section) for section in sections if section) + "\n"
    )


def join_folded(texts: Iterable[str], screen: Screen) -> str:
    """Fold sentences, with the rest of each indented, as the text to print."""
    return join_sections([screen.fold_all(texts, hang="    ")])
