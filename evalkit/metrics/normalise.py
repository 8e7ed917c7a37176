r"""Turns text into a form that can be compared, by normalisations the user names.

| name          | what it does                                                               |
| ------------- | -------------------------------------------------------------------------- |
| `unicode`     | composes characters (NFC) and drops invisible ones: zero-width space, byte |
|               | order mark, word joiner, soft hyphen, direction marks                      |
| `case`        | folds case, beyond lower case (`STRASSE` = `straße`)                       |
| `punctuation` | makes punctuation and backticks a space, then does `whitespace`; keeps it  |
|               | in numbers (`3.5`, `10:30`, `-5`, `.5`) and always keeps                   |
|               | `# % & @ / \`, which change what is said                                   |
| `whitespace`  | makes every run of white space, no-break ones and line ends too, one space |
|               | and trims both ends                                                        |

They are applied in this order, whatever the order they are named in. Which pairs come out equal:

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

Normalisation: TypeAlias = Literal["unicode", "case", "punctuation", "whitespace"]

SAME_READING: tuple[Normalisation, ...] = ("unicode", "whitespace")
"""What makes texts equal that look the same on screen."""

SAME_WORDS: tuple[Normalisation, ...] = ("unicode", "case", "punctuation", "whitespace")
"""What makes texts equal that say the same words."""

# The zero-width joiner and non-joiner stay: emoji and several scripts read differently without.
INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200e\u200f\u2060\ufeff"))

# A mark says something between digits, as the sign and as the decimal point of a number.
_NOT_IN_NUMBER = r"(?!(?<=\d.)\d|(?<=-)(?<!\w-)\.?\d|(?<=\.)(?<![\w.]\.)\d)"
_ASCII_MARK = re.compile(rf"[-!\"'()*,.:;?\[\]_`{{}}]{_NOT_IN_NUMBER}")
_ANY_MARK = re.compile(rf"(?:[^\w\s]|_){_NOT_IN_NUMBER}")
_KEPT_MARKS = frozenset("#%&@/\\‰")
_TICKS = frozenset("`´")


def normalise(text: str, names: Collection[Normalisation]) -> str:
    """Apply the named normalisations; doing it twice changes nothing more."""
    # Plain ASCII, most of what is compared, is composed already and has nothing invisible.
    exotic = not text.isascii()
    if exotic and "unicode" in names:
        text = unicodedata.normalize("NFC", text.translate(INVISIBLE))
    if "case" in names:
        text = _fold_composed(text) if exotic and "unicode" in names else text.casefold()
    if "punctuation" in names:
        text = _ANY_MARK.sub(_without_mark, text) if exotic else _ASCII_MARK.sub(" ", text)
    if "whitespace" in names or "punctuation" in names:
        text = " ".join(text.split())
    return text


def _fold_composed(text: str) -> str:
    # Canonical caseless matching, The Unicode Standard, D145: fold between two normalisations.
    folded = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFC", folded)


def _without_mark(match: re.Match[str]) -> str:
    mark = match[0]
    if mark in _TICKS:
        return " "
    return mark if mark in _KEPT_MARKS or unicodedata.category(mark)[0] != "P" else " "
