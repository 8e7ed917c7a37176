r"""Normalize text for comparison in the ways that the user names.

| name          | what it does                                                               |
| ------------- | -------------------------------------------------------------------------- |
| `unicode`     | composes characters (NFC) and drops invisible ones: zero-width space, byte |
|               | order mark, word joiner, soft hyphen, direction marks                      |
| `case`        | folds case, beyond lower case (`STRASSE` = `straße`)                       |
| `punctuation` | replaces punctuation and backticks by a space, then does `whitespace`;     |
|               | keeps punctuation in numbers (`3.5`, `10:30`, `-5`, `.5`) and the          |
|               | characters `# % & @ / \`, which change the meaning                         |
| `whitespace`  | replaces every run of white space, including no-break spaces and line      |
|               | ends, by one space and trims both ends                                     |

They are applied in this order, not in the order of their names. This table shows which pairs become
equal:

| answer and expected            | none | `unicode` + `whitespace` | and `case` | and `punctuation` |
| ------------------------------ | ---- | ------------------------ | ---------- | ----------------- |
| `é` as one or two code points  | no   | yes                      | yes        | yes               |
| zero-width space, soft hyphen  | no   | yes                      | yes        | yes               |
| no-break space, space          | no   | yes                      | yes        | yes               |
| trailing line end, none        | no   | yes                      | yes        | yes               |
| `Yes`, `yes`                   | no   | no                       | yes        | yes               |
| `Yes.`, `yes`                  | no   | no                       | no         | yes               |
| `3.5`, `35`; `-5`, `5`         | no   | no                       | no         | no                |
| zero-width joiner, none        | no   | no                       | no         | no                |
| `①`, `1`; `é`, `e`             | no   | no                       | no         | no                |
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from typing import Literal, TypeAlias

from evalkit.core.unicode_form import compose
from evalkit.metrics.deadline import check_deadline

Normalization: TypeAlias = Literal["unicode", "case", "punctuation", "whitespace"]

VISUAL_NORMALIZATIONS: tuple[Normalization, ...] = ("unicode", "whitespace")
"""Make texts that look the same on screen equal."""

WORD_NORMALIZATIONS: tuple[Normalization, ...] = ("unicode", "case", "punctuation", "whitespace")
"""Make texts that consist of the same words equal."""

# Without the zero-width joiner and non-joiner, which change emoji and words of several scripts.
INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200e\u200f\u2060\ufeff"))

# Between digits, as a sign, and as a decimal point, a mark belongs to a number.
_NOT_IN_NUMBER = r"(?!(?<=\d.)\d|(?<=-)(?<!\w-)\.?\d|(?<=\.)(?<![\w.]\.)\d)"
_ASCII_MARK = re.compile(rf"[-!\"'()*,.:;?\[\]_`{{}}]{_NOT_IN_NUMBER}")
_ANY_MARK = re.compile(rf"(?:[^\w\s]|_){_NOT_IN_NUMBER}")
# Without these marks, `C#`, `50%` and `R&D` would mean something else.
_PRESERVED_MARKS = frozenset("#%&@/\\‰")
# Unicode has them as symbols, but Markdown and people use them as quotation marks.
_TICKS = frozenset("`´")


def normalize(text: str, names: Collection[Normalization]) -> str:
    """Apply the named normalizations; applying them twice changes nothing more."""
    # A shortcut: most texts are ASCII, which is composed and has no invisible characters.
    is_unicode = not text.isascii()
    if is_unicode and "unicode" in names:
        text = compose(text.translate(INVISIBLE))
    if "case" in names:
        text = _fold_composed(text) if is_unicode and "unicode" in names else text.casefold()
    if "punctuation" in names:
        text = _ANY_MARK.sub(_strip_mark, text) if is_unicode else _ASCII_MARK.sub(" ", text)
    if "whitespace" in names or "punctuation" in names:
        text = " ".join(text.split())
    return text


def _fold_composed(text: str) -> str:
    # Canonical caseless matching, The Unicode Standard, D145: fold between two normalizations.
    # Marks are in order by now, which the standard library needs to be fast.
    folded = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFC", folded)


def _strip_mark(match: re.Match[str]) -> str:
    mark = match[0]
    if mark in _TICKS:
        return " "
    return mark if mark in _PRESERVED_MARKS or unicodedata.category(mark)[0] != "P" else " "


# Scripts without spaces between words, and Hangul, which attaches particles to words: a phrase may
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


# Within a run of these, every character is joined to the one before. Longer than a word needs no marks.
_JOINED = re.compile(r"[^\W\u0e00-\U0003ffff]+")


def contains_phrase(text: str, phrase: str) -> bool:
    """Return whether a text contains a phrase as whole words and whole numbers.

    `no` is not in `know`, nor `5` in `15`, `1.5`, `2-5` or `-5`.
    """
    start = text.find(phrase)
    tries = 0
    while start >= 0:
        end = start + len(phrase)
        if not _continues_before(text, start) and not _continues_after(text, end):
            return True
        tries += 1
        if tries % 256 == 0:
            check_deadline("looking for a phrase")
        # No phrase begins inside of a word, so the rest of the word is skipped at once.
        word = _JOINED.match(text, start)
        start = text.find(phrase, max(start + 1, word.end() if word and phrase else 0))
    return False


def _continues_before(text: str, start: int) -> bool:
    if start == 0:
        return False
    first, before = text[start], text[start - 1]
    if not first.isdecimal():
        return _is_joined(before, first)
    if before in "-−":
        # A sign, unless it is a hyphen that joins the number to a word.
        return start == 1 or not text[start - 2].isalpha()
    if before in _JOINERS:
        return start > 1 and text[start - 2].isdecimal()
    return _is_joined(before, first)


def _continues_after(text: str, end: int) -> bool:
    if end >= len(text):
        return False
    last, after = text[end - 1], text[end]
    if last.isdecimal() and after in _JOINERS:
        return end + 1 < len(text) and text[end + 1].isdecimal()
    return _is_joined(last, after)


def _is_joined(left: str, right: str) -> bool:
    return (
        _is_word_character(left)
        and _is_word_character(right)
        and not (_is_unspaced(left) or _is_unspaced(right))
    )


def _is_word_character(character: str) -> bool:
    return (
        character.isalnum() or character == "_" or unicodedata.category(character).startswith("M")
    )


def _is_unspaced(character: str) -> bool:
    code = ord(character)
    return code >= 0x0E00 and any(first <= code <= last for first, last in _UNSPACED)
