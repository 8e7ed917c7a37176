"""Define the records that several templates show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

MIN_TEXT_CHARS = 200
MAX_TEXT_CHARS = 4000

_NEGATIVE = re.compile(r"(?<![\w.)-])-(?=\d)")
_TOKEN = re.compile(r"\s+|[^\s\w]|\w+")
# The limit for each text. The comparison takes quadratic time, but 64 words at a time: 5 ms at the limit.
_MAX_TOKENS = 5000


class TableCell(NamedTuple):
    """One cell of a table, with a note below its text."""

    text: str
    bold: bool = False
    note: str = ""


def true_minus(text: str) -> str:
    """Return a text whose negative numbers start with a minus sign instead of a hyphen."""
    return _NEGATIVE.sub("−", text)


class DiffPart(NamedTuple):
    """A part of two texts: in both, only in the first (`del`), or only in the second (`ins`).

    A part of one text may be marked (`mark`).
    """

    kind: Literal["same", "del", "ins", "mark"]
    text: str


class TextBlock(NamedTuple):
    """A titled text, or the difference of two texts."""

    title: str
    text: str
    difference: tuple[DiffPart, ...] = ()


def limit_texts(texts: int, max_chars: int) -> int:
    """Return the longest length of a text if all texts together may have about `max_chars`."""
    return max(MIN_TEXT_CHARS, min(MAX_TEXT_CHARS, max_chars // max(texts, 1)))


class _Change(NamedTuple):
    """Words that two texts have in common, and the change after them."""

    same: str = ""
    deleted: str = ""
    inserted: str = ""

    @property
    def size(self) -> int:
        """The length of the change in characters."""
        return max(len(self.deleted), len(self.inserted))

    @property
    def parts(self) -> tuple[DiffPart, ...]:
        """The words and the change as parts of a difference, some of which may be empty."""
        return (
            DiffPart("same", self.same),
            DiffPart("del", self.deleted),
            DiffPart("ins", self.inserted),
        )


def word_diff(before: str, after: str) -> tuple[DiffPart, ...]:
    """Compare two texts word by word."""
    left, right = _TOKEN.findall(before), _TOKEN.findall(after)
    changes = [_Change(deleted=before, inserted=after)]
    if max(len(left), len(right)) <= _MAX_TOKENS:
        changes = _join_changes(_find_changes(left, right))
    return tuple(part for change in changes for part in change.parts if part.text)


def _find_changes(left: Sequence[str], right: Sequence[str]) -> list[_Change]:
    # Imported here because only pages show differences.
    from rapidfuzz.distance import Indel  # noqa: PLC0415

    found = [_Change()]
    for step in Indel.opcodes(left, right):
        old = "".join(left[step.src_start : step.src_end])
        if step.tag == "equal":
            found.append(_Change(same=old))
            continue
        new = "".join(right[step.dest_start : step.dest_end])
        last = found[-1]
        found[-1] = last._replace(deleted=last.deleted + old, inserted=last.inserted + new)
    return found


def _join_changes(changes: Sequence[_Change]) -> list[_Change]:
    """Join changes with fewer words in common between them than they have themselves."""
    joined = [changes[0]]
    for change in changes[1:]:
        last, same = joined[-1], change.same
        if len(same) <= min(last.size, change.size):
            joined[-1] = last._replace(
                deleted=last.deleted + same + change.deleted,
                inserted=last.inserted + same + change.inserted,
            )
        else:
            joined.append(change)
    return joined
