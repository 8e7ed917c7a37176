"""Define the records that several templates show."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

MIN_TEXT_CHARS = 200
MAX_TEXT_CHARS = 4000

_TOKEN = re.compile(r"\s+|[^\s\w]|\w+")
# The limit for each text, because a comparison takes quadratic time.
_MAX_TOKENS = 1500


class TableCell(NamedTuple):
    """One cell of a table, with a note below its text."""

    text: str
    bold: bool = False
    note: str = ""


class DiffPart(NamedTuple):
    """A part of two texts: in both, only in the first (`del`), or only in the second (`ins`)."""

    kind: Literal["same", "del", "ins"]
    text: str


class TextBlock(NamedTuple):
    """A titled text, or the difference of two texts."""

    title: str
    text: str
    difference: tuple[DiffPart, ...] = ()


def limit_texts(texts: int, max_chars: int) -> int:
    """Return the longest length of a text if all texts together may have about `max_chars`."""
    return max(MIN_TEXT_CHARS, min(MAX_TEXT_CHARS, max_chars // max(texts, 1)))


def word_diff(before: str, after: str) -> tuple[DiffPart, ...]:
    """Compare two texts word by word."""
    left, right = _TOKEN.findall(before), _TOKEN.findall(after)
    if max(len(left), len(right)) > _MAX_TOKENS:
        return (DiffPart("del", before), DiffPart("ins", after))
    parts: list[DiffPart] = []
    # With autojunk, spaces in a long text would not be matched.
    for kind, a, b, c, d in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append(DiffPart("same", "".join(left[a:b])))
            continue
        if b > a:
            parts.append(DiffPart("del", "".join(left[a:b])))
        if d > c:
            parts.append(DiffPart("ins", "".join(right[c:d])))
    return tuple(parts)
