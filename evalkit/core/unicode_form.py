"""Normalize Unicode text in linear time, which the standard library does not on runs of marks."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

MAX_UNORDERED_MARKS = 30
"""Marks in a row whose order the standard library may find, as in UAX #15, D3. No word has more."""

_COMBINING_MARKS = dict.fromkeys(range(0x300, 0x370))
_LETTERS = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l"}
)
"""Letters that are not an ASCII letter with a mark, or that German writes with two."""


def compose(text: str) -> str:
    """Return a text in the form NFC."""
    return unicodedata.normalize("NFC", _order_marks(text, "NFD"))


def compose_compatible(text: str) -> str:
    """Return a text in the form NFKC."""
    return unicodedata.normalize("NFKC", _order_marks(text, "NFKD"))


def decompose(text: str) -> str:
    """Return a text in the form NFD."""
    return unicodedata.normalize("NFD", _order_marks(text, "NFD"))


def _order_marks(text: str, form: Literal["NFD", "NFKD"]) -> str:
    """Put long runs of marks into canonical order; the normalized text stays the same.

    The standard library orders marks by insertion, which takes minutes on a megabyte of them.
    """
    if text.isascii() or len(text) <= MAX_UNORDERED_MARKS:
        return text
    parts = {char: tuple(unicodedata.normalize(form, char)) for char in set(text)}
    classes = {char: tuple(map(unicodedata.combining, part)) for char, part in parts.items()}
    marks = "".join(sorted(char for char, part in classes.items() if all(part)))
    if not marks:
        return text
    # Each mark is one object, however often it occurs: a run may have a million.
    class_of = {
        mark: number
        for char in marks
        for mark, number in zip(parts[char], classes[char], strict=True)
    }

    def order_run(match: re.Match[str]) -> str:
        ordered = [mark for char in match[0] for mark in parts[char]]
        ordered.sort(key=class_of.__getitem__)
        return "".join(ordered)

    return re.sub(f"[{re.escape(marks)}]{{{MAX_UNORDERED_MARKS},}}", order_run, text)


def to_ascii_letters(text: str) -> str:
    """Return a text in small letters, with Latin letters as people type them without their marks.

    >>> to_ascii_letters("rücksendung à münchen")
    'ruecksendung a muenchen'
    """
    plain = compose(text).translate(_LETTERS)
    return unicodedata.normalize("NFKD", _order_marks(plain, "NFKD")).translate(_COMBINING_MARKS)
