"""Rows and sentences into terminal lines that fit, line up and hold nothing but what is clean.

Plain strings instead of rich: a report is a few aligned tables and folded sentences, rich passes
control characters of data through to the terminal, and it takes longer to import than all the rest
of a report takes.
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
"""Below this many cells the terminal's own wrapping does better."""

_MAX_SENTENCE_COLUMNS = 100
_MAX_SENTENCE_CHARS = 1500
_COLUMN_GAP = "  "


class Cell(NamedTuple):
    """One field of a row: data, and how to show it."""

    text: str
    style: Style = ""


def _fold_line(line: str, width: int) -> list[str]:
    """Fold one clean line, keeping its indentation unless that leaves no room."""
    if cell_width(line) <= width:
        return [line]
    stripped = line.lstrip(" ")
    indent = " " * min(len(line) - len(stripped), width // 2)
    return [indent + part for part in wrap(stripped, width - len(indent))]


@dataclass(frozen=True, kw_only=True, slots=True)
class Screen:
    """Where lines will be shown: cells per line, whether colour is wanted, what the encoding takes."""

    width: int = 80
    color: bool = False
    unicode: bool = True

    @property
    def columns(self) -> int:
        """The width laid out for."""
        return max(self.width, MIN_COLUMNS)

    def paint(self, text: str, style: Style) -> str:
        """Colour clean text, if this screen has colour."""
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.color and style and text else text

    def show(self, text: str, width: int) -> str:
        """Data as one clean line of at most `width` cells."""
        if self.unicode:
            return one_line(text, width)
        return one_line(escape_non_ascii(text[: 8 * width + 1]), width, ellipsis="...")

    def fold(self, text: str, *, indent: str = "", hang: str = "") -> list[str]:
        """A sentence that may hold data as clean lines; those after the first start with `hang`."""
        bounded = self.show(text, _MAX_SENTENCE_CHARS)
        sentence = bounded.lstrip(" ")
        indent += " " * min(len(bounded) - len(sentence), 4)
        width = min(self.columns, _MAX_SENTENCE_COLUMNS) - max(len(indent), len(hang))
        lines = [sentence] if cell_width(sentence) <= width else wrap(sentence, width)
        return [f"{hang if number else indent}{line}" for number, line in enumerate(lines)]

    def paint_start(
        self, lines: Sequence[str], start: str, style: Style, *, indent: str = ""
    ) -> list[str]:
        """Folded lines with the word or label they start with coloured."""
        if not lines[0].startswith(indent + start):
            return list(lines)
        rest = lines[0][len(indent + start) :]
        return [f"{indent}{self.paint(start, style)}{rest}", *lines[1:]]

    def quote(self, text: str, *, limit: int) -> list[str]:
        """Lines of data behind a bar that shows they are quoted, bounded to `limit` characters."""
        bar = "│ " if self.unicode else "| "
        width = self.columns - len(_COLUMN_GAP) - len(bar)
        block = head(text, limit) if self.unicode else escape_non_ascii(head(text, limit))
        lines = [part for line in block.split("\n") for part in _fold_line(line, width)]
        return [f"{_COLUMN_GAP}{self.paint(bar, 'dim')}{line}".rstrip() for line in lines]


def heading(text: str, screen: Screen) -> str:
    """The title of a section."""
    return screen.paint(screen.show(text, screen.columns), "bold")


def _fit_widths(
    natural: Sequence[int], room: int, shrinkable: Mapping[int, int]
) -> list[int] | None:
    """Column widths that add up to `room`, shrinking in the order given; None when they cannot."""
    widths = list(natural)
    for column, least in shrinkable.items():
        excess = sum(widths) - room
        if excess > 0:
            widths[column] = max(widths[column] - excess, min(least, widths[column]))
    return widths if sum(widths) <= room else None


def align_columns(
    rows: Iterable[Sequence[Cell]],
    screen: Screen,
    *,
    titles: Sequence[str] = (),
    shrinkable: Mapping[int, int],
    right: frozenset[int] = frozenset(),
) -> list[str]:
    """Rows as aligned columns, one line each; where they do not fit, each row as a folded paragraph.

    `shrinkable` maps the columns that may be cut to the least width each keeps, the first to give way
    first; `right` are the columns of numbers. A column that is empty throughout is left out.
    """
    table = [
        [Cell(screen.show(text, screen.columns), style) for text, style in row] for row in rows
    ]
    if not table:
        return []
    shown_titles = [Cell(screen.show(title, screen.columns), "dim") for title in titles]
    lines = [shown_titles, *table] if titles else table
    natural = [
        max(cell_width(row[column].text) for row in lines) for column in range(len(table[0]))
    ]
    room = screen.columns - len(_COLUMN_GAP) * sum(width > 0 for width in natural)
    widths = _fit_widths(natural, room, shrinkable)
    if widths is None:
        return [line for row in table for line in _fold_row(row, shown_titles, screen)]
    return [_line(row, widths, screen, right) for row in lines]


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
    opening = " ".join(field for field in fields[:2] if field)
    text = ", ".join(field for field in (opening, *fields[2:]) if field)
    lines = screen.fold(text, indent=_COLUMN_GAP, hang=_COLUMN_GAP * 2)
    return screen.paint_start(lines, row[0].text, row[0].style, indent=_COLUMN_GAP)


def join_sections(sections: Iterable[Sequence[str]]) -> str:
    """Sections with an empty line between them, as the text to print."""
    return escape_ci_commands(
        "\n\n".join("\n".join(section) for section in sections if section) + "\n"
    )
