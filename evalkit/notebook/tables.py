"""A titled table as the HTML, Markdown, and plain text that a notebook or a prompt shows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from html import escape

from evalkit.core.safe_text import escape_unsafe
from evalkit.report import markdown
from evalkit.report.screen import Screen, align_columns, join_sections

_STYLE = "text-align:left;vertical-align:top;white-space:pre-wrap"
_WIDTH = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A heading, sentences, a table with its column titles, and sentences below it.

    All texts may contain data; each rendering escapes it.
    """

    heading: str
    sentences: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()

    def to_html(self) -> str:
        """Render HTML without styles of its own, so that it looks like a notebook's other tables."""
        titles = "".join(f'<th style="{_STYLE}">{_html(title)}</th>' for title in self.titles)
        rows = "".join(
            f"<tr>{''.join(f'<td style={chr(34)}{_STYLE}{chr(34)}>{_html(cell)}</td>' for cell in row)}</tr>"
            for row in self.rows
        )
        table = f"<table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table>"
        return "".join(
            (
                f"<p><strong>{_html(self.heading)}</strong></p>",
                *(f"<p>{_html(sentence)}</p>" for sentence in self.sentences),
                table if self.rows else "",
                *(f"<p>{_html(note)}</p>" for note in self.notes),
            )
        )

    def to_markdown(self) -> str:
        """Render Markdown in which no data is markup."""
        rows = [[markdown.plain_cell(cell) for cell in row] for row in self.rows]
        table = markdown.markdown_table(self.titles, rows, right=()) if rows else ""
        texts = map(markdown.sentence_text, self.sentences)
        notes = map(markdown.sentence_text, self.notes)
        return markdown.join_blocks(
            (f"**{markdown.sentence_text(self.heading)}**", *texts, table, *notes)
        )

    def to_text(self) -> str:
        """Render plain lines of up to 100 cells."""
        screen = Screen(width=_WIDTH)
        return join_sections(
            [
                screen.fold_all((self.heading, *self.sentences)),
                align_columns(self.rows, screen, titles=self.titles, shrinkable={0: 8, 1: 12}),
                screen.fold_all(self.notes),
            ]
        ).rstrip("\n")


class ShownAsTable(ABC):
    """An object that a notebook shows as its table."""

    @property
    @abstractmethod
    def _table(self) -> Table:
        """The table."""

    def _repr_html_(self) -> str:
        return self._table.to_html()

    def _repr_markdown_(self) -> str:
        return self._table.to_markdown()

    def __repr__(self) -> str:
        return self._table.to_text()


def _html(text: str) -> str:
    return escape(escape_unsafe(text))
