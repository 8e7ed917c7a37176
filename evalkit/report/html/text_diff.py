"""Compare two texts by sentence, and by word inside of sentences that are alike."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from evalkit.report.html.views import DiffPart, word_diff

MIN_SIMILARITY = 0.35
"""Below this share of common words, marking every word would hide what matters."""

_MIN_SENTENCE_SIMILARITY = 0.5
_MAX_SENTENCES = 200
_SENTENCE = re.compile(r".+?(?:[.!?。！？]+[\"'”’)\]]*(?=\s|$)|\n|$)\s*", re.DOTALL)
_WORD = re.compile(r"\w+|[^\s\w]")


class TextChange(NamedTuple):
    """Two texts with what only one of them has marked; `is_alike` is false if nothing was marked."""

    before: tuple[DiffPart, ...]
    now: tuple[DiffPart, ...]
    is_alike: bool


def compare_texts(before: str, now: str) -> TextChange:
    """Return both texts as parts; joined, the parts of a side are its text."""
    # Imported here because only pages show differences.
    from rapidfuzz.distance import Indel  # noqa: PLC0415

    words = _WORD.findall(before), _WORD.findall(now)
    sentences = _split_sentences(before), _split_sentences(now)
    if (
        Indel.normalized_similarity(*words) < MIN_SIMILARITY
        or max(map(len, sentences)) > _MAX_SENTENCES
    ):
        return TextChange((DiffPart("same", before),), (DiffPart("same", now),), is_alike=False)
    left: list[DiffPart] = []
    right: list[DiffPart] = []
    for old, new in _align(*sentences):
        parts = [DiffPart("same", old)] if old == new else word_diff(old, new)
        left += [part for part in parts if part.kind != "ins"]
        right += [part for part in parts if part.kind != "del"]
    return TextChange(_join(left), _join(right), is_alike=True)


def mark_texts(text: str, wanted: Sequence[str]) -> tuple[DiffPart, ...]:
    """Return a text as parts in which each occurrence of a wanted text is marked, in any case.

    Wanted texts of one or two characters are left out: they occur by chance.
    """
    patterns = [re.escape(each) for each in sorted(wanted, key=len, reverse=True) if len(each) > 2]
    if not patterns:
        return (DiffPart("same", text),)
    # A group in the pattern makes every second part a match.
    parts = re.split(rf"(?<!\w)({'|'.join(patterns)})(?!\w)", text, flags=re.IGNORECASE)
    return _join(
        [DiffPart("mark" if index % 2 else "same", each) for index, each in enumerate(parts)]
    )


def _split_sentences(text: str) -> list[str]:
    """Return the sentences and lines of a text with the blanks after them; joined, they are the text."""
    return _SENTENCE.findall(text)


def _align(left: Sequence[str], right: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of sentences in order: equal, alike, or one of them empty."""
    from rapidfuzz.distance import Indel  # noqa: PLC0415

    deleted: list[str] = []
    inserted: list[str] = []
    for step in Indel.opcodes(left, right):
        old, new = left[step.src_start : step.src_end], right[step.dest_start : step.dest_end]
        if step.tag != "equal":
            deleted += old
            inserted += new
            continue
        yield from _pair_alike(deleted, inserted)
        deleted, inserted = [], []
        yield from zip(old, new, strict=True)
    yield from _pair_alike(deleted, inserted)


def _pair_alike(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the sentences of a change, each with the first later one that is alike."""
    from rapidfuzz.distance import Indel  # noqa: PLC0415

    words = [_WORD.findall(sentence) for sentence in new]
    start = 0
    for sentence in old:
        own = _WORD.findall(sentence)
        alike = (
            index
            for index in range(start, len(new))
            if Indel.normalized_similarity(own, words[index]) >= _MIN_SENTENCE_SIMILARITY
        )
        found = next(alike, None)
        if found is None:
            yield sentence, ""
            continue
        # What comes before the sentence that is alike was put in.
        yield from (("", added) for added in new[start:found])
        yield sentence, new[found]
        start = found + 1
    yield from (("", added) for added in new[start:])


def _join(parts: Sequence[DiffPart]) -> tuple[DiffPart, ...]:
    """Return the parts without empty ones, neighbors of one kind as one part."""
    joined: list[DiffPart] = []
    for part in parts:
        if joined and joined[-1].kind == part.kind:
            joined[-1] = DiffPart(part.kind, joined[-1].text + part.text)
        elif part.text:
            joined.append(part)
    return tuple(joined) or (DiffPart("same", ""),)
