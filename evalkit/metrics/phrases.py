"""Finds a phrase in a text where it stands by itself, not inside a longer word or number."""

from __future__ import annotations

import unicodedata

# Scripts that put no space between words, and Hangul, which hangs particles on them: a phrase may
# begin or end anywhere. Blocks of The Unicode Standard: Thai and Lao, Myanmar, Hangul Jamo, Khmer,
# CJK marks to CJK ideographs and Hangul syllables, compatibility ideographs, the further planes.
_UNSPACED = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1100, 0x11FF),
    (0x1780, 0x17FF),
    (0x3000, 0xD7FF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
_JOINERS = frozenset(".,:/'’-−‑–")


def says(text: str, phrase: str) -> bool:
    """Whether the phrase stands in the text as whole words and whole numbers.

    `no` is not in `know`, nor `5` in `15`, `1.5`, `2-5` or `-5`.
    """
    start = text.find(phrase)
    while start >= 0:
        end = start + len(phrase)
        if not _runs_on_before(text, start) and not _runs_on_after(text, end):
            return True
        start = text.find(phrase, start + 1)
    return False


def _runs_on_before(text: str, start: int) -> bool:
    if start == 0:
        return False
    first, before = text[start], text[start - 1]
    if not first.isdecimal():
        return _joined(before, first)
    if before in "-−":
        # A sign, unless it is a hyphen that hangs the number on a word.
        return start == 1 or not text[start - 2].isalpha()
    if before in _JOINERS:
        return start > 1 and text[start - 2].isdecimal()
    return _joined(before, first)


def _runs_on_after(text: str, end: int) -> bool:
    if end >= len(text):
        return False
    last, after = text[end - 1], text[end]
    if last.isdecimal() and after in _JOINERS:
        return end + 1 < len(text) and text[end + 1].isdecimal()
    return _joined(last, after)


def _joined(left: str, right: str) -> bool:
    return _in_word(left) and _in_word(right) and not (_unspaced(left) or _unspaced(right))


def _in_word(character: str) -> bool:
    return (
        character.isalnum() or character == "_" or unicodedata.category(character).startswith("M")
    )


def _unspaced(character: str) -> bool:
    code = ord(character)
    return code >= 0x0E00 and any(first <= code <= last for first, last in _UNSPACED)
