"""Read the fenced code blocks of a Markdown text as CommonMark defines them, in linear time."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_FENCE = re.compile(r"(?P<mark>`{3,}(?=[^`]*$)|~{3,})(?P<info>.*)", re.DOTALL)
_LIST_MARKER = re.compile(r"(?:[-+*]|\d{1,9}[.)])(?=\s|$)")
_QUOTE = ">"
_MAX_CONTAINERS = 100
MAX_BLOCKS = 10_000
"""Blocks of a text that are read; the rest of the text counts as text."""

_MAX_INDENT = 3
"""Columns by which a fence or a marker may be indented. With four, CommonMark reads code."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FencedBlock:
    """The content of a fenced code block and its info string, which usually names a language.

    Lines of the content end with a line feed, and do not have the indentation of the fence. A block may
    lack its closing fence when the text was cut off.
    """

    content: str
    info: str = ""
    is_closed: bool = True

    @property
    def language(self) -> str:
        """The first word of the info string."""
        return next(iter(self.info.split()), "")


def read_single_block(text: str, *, must_close: bool = True) -> FencedBlock | None:
    """Return the block that makes up all of a text, or None when there is anything else in it."""
    blocks, has_other_text = _read(text)
    if len(blocks) != 1 or has_other_text:
        return None
    return blocks[0] if blocks[0].is_closed or not must_close else None


def read_blocks(text: str) -> list[FencedBlock]:
    """Return the fenced blocks of a text in order; the text may end before the last one is closed.

    A block may be in list items and block quotes; the text may have any line ends.
    """
    return _read(text)[0]


@dataclass(slots=True)
class _Line:
    """The rest of a line from a column on; tabs count up to the next multiple of four."""

    text: str
    at: int = 0
    column: int = 0

    def indent(self) -> int:
        """Return the columns of white space that come next."""
        column = self.column
        for char in self.text[self.at :]:
            if char == " ":
                column += 1
            elif char == "\t":
                column += 4 - column % 4
            else:
                break
        return column - self.column

    def is_blank(self) -> bool:
        return not self.text[self.at :].strip(" \t")

    def skip(self, columns: int) -> None:
        """Skip white space of some columns; of a tab that is wider, spaces remain."""
        end = self.column + columns
        while self.column < end and self.at < len(self.text) and self.text[self.at] in " \t":
            width = 4 - self.column % 4 if self.text[self.at] == "\t" else 1
            if self.column + width > end:
                rest = " " * (width - 1)
                self.text = f"{self.text[: self.at]} {rest}{self.text[self.at + 1 :]}"
                width = 1
            self.column += width
            self.at += 1

    def take(self, length: int) -> None:
        """Skip characters that are no white space."""
        self.at += length
        self.column += length

    def rest(self) -> str:
        return self.text[self.at :]


@dataclass(slots=True)
class _OpenBlock:
    """A block whose closing fence is still to come, and the columns its fence is indented by."""

    mark: str
    info: str
    indent: int
    lines: list[str] = field(default_factory=list)

    def is_closed_by(self, line: _Line) -> bool:
        rest = line.rest().strip(" \t")
        is_fence = len(rest) >= len(self.mark) and not rest.strip(self.mark[0])
        return is_fence and line.indent() <= _MAX_INDENT

    def finish(self, *, is_closed: bool) -> FencedBlock:
        content = "".join(f"{line}\n" for line in self.lines)
        return FencedBlock(content=content, info=self.info, is_closed=is_closed)


def _read(text: str) -> tuple[list[FencedBlock], bool]:
    """Return the blocks of a text, and whether it has anything else."""
    if "```" not in text and "~~~" not in text:
        return [], bool(text.strip())
    blocks: list[FencedBlock] = []
    # The list items and block quotes around a line: the columns of an item, or 0 for a quote.
    containers: list[int] = []
    block: _OpenBlock | None = None
    has_other_text = False
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    for raw in lines:
        if len(blocks) == MAX_BLOCKS:
            return blocks, True
        line = _Line(raw)
        inside = _enter(containers, line)
        if block is not None and inside == len(containers):
            if block.is_closed_by(line):
                blocks.append(block.finish(is_closed=True))
                block = None
            else:
                line.skip(block.indent)
                block.lines.append(line.rest())
            continue
        if block is not None:  # its list item or quote has ended
            blocks.append(block.finish(is_closed=False))
            block = None
        del containers[inside:]
        if not raw or line.is_blank():
            continue
        _open_containers(containers, line)
        block = _open_block(line)
        has_other_text = has_other_text or (block is None and not line.is_blank())
    if block is not None:
        blocks.append(block.finish(is_closed=False))
    return blocks, has_other_text


def _enter(containers: list[int], line: _Line) -> int:
    """Skip the part of a line that belongs to its containers; return how many go on in it."""
    for number, columns in enumerate(containers):
        if columns:
            if line.indent() < columns and not line.is_blank():
                return number
            line.skip(columns)
        elif not _take_quote(line):
            return number
    return len(containers)


def _open_containers(containers: list[int], line: _Line) -> None:
    """Skip the markers of new list items and block quotes, and add these to the containers."""
    while len(containers) < _MAX_CONTAINERS:
        indent = line.indent()
        if indent > _MAX_INDENT:
            return
        if _take_quote(line):
            containers.append(0)
            continue
        start = line.column
        line.skip(indent)
        marker = _LIST_MARKER.match(line.text, line.at)
        if marker is None:
            # The indentation counts for a fence.
            line.at, line.column = line.at - (line.column - start), start
            return
        line.take(len(marker[0]))
        gap = line.indent()
        # Five columns or more are one, and code that is indented by the others.
        line.skip(gap if gap <= 4 and not line.is_blank() else 1)
        containers.append(
            line.column - start if not line.is_blank() else indent + len(marker[0]) + 1
        )


def _take_quote(line: _Line) -> bool:
    indent = line.indent()
    if indent > _MAX_INDENT or not line.text[line.at :].lstrip(" \t").startswith(_QUOTE):
        return False
    line.skip(indent)
    line.take(1)
    line.skip(1)
    return True


def _open_block(line: _Line) -> _OpenBlock | None:
    indent = line.indent()
    match = _FENCE.match(line.rest().lstrip(" \t")) if indent <= _MAX_INDENT else None
    if match is None:
        return None
    return _OpenBlock(mark=match["mark"], info=match["info"].strip(" \t"), indent=indent)
