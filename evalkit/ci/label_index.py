"""Find the inputs and expected answers of a set in a text, by the words that they have in sequence.

Words are compared without case, punctuation, and spaces. An input or an expected answer is found where a
stretch of the text has MIN_SHARE of its trigrams: three words in sequence.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import NamedTuple, TypeAlias

from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.unicode_form import compose_compatible

MIN_SHARE = 0.8
"""The share of a text's trigrams that must be found close together."""

MIN_WORDS = 8
"""Words of an input or of an expected answer that is a leak by itself. An input of at least three is one next
to its expected answer."""

MAX_DISTANCE = 12
"""Words between an input and its expected answer."""

MAX_SHARED = 0.1
"""A trigram in more than this share of the inputs belongs to their template, and is not compared."""

_MAX_ANCHORS = 50
_MIN_SHARED_CASES = 3
# Chinese and Japanese have no spaces, so every character is a word.
_CHARACTER = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = f"[{_CHARACTER}]|[^\\W_{_CHARACTER}]+"
"""Compiled at its first use: that takes 10 ms, and only a run with a base needs it."""

_INVISIBLE = dict.fromkeys((173, *range(8203, 8208), *range(8288, 8293), 65279))
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|[nrt])")

WHOLE_CASE = "input and expected answer"
"""The most that a file can have of a case."""

Trigram: TypeAlias = tuple[str, str, str]


def list_words(text: str) -> list[str]:
    """Return the words of a text without case, invisible characters, and forms of characters."""
    if not text.isascii():
        text = compose_compatible(text.translate(_INVISIBLE))
    return re.findall(_WORD, text.casefold())


class Leak(NamedTuple):
    """What a file has of a case, and in which line."""

    case: Case
    what: str
    line: int

    @property
    def key(self) -> tuple[str, str]:
        """The id of the case and what the file has of it."""
        return self.case.id, self.what


@dataclass(frozen=True, slots=True)
class _Text:
    """The words of an input or an expected answer, and those of its trigrams that are its own."""

    words: tuple[str, ...]
    trigrams: tuple[Trigram, ...]


@dataclass(frozen=True, slots=True)
class _Needle:
    """What to look for of one case: its input, the long texts of its label, and all its texts."""

    case: Case
    input: _Text
    long_texts: tuple[_Text, ...]
    texts: tuple[tuple[str, ...], ...]


def _trigrams_of(words: Sequence[str]) -> Iterator[Trigram]:
    return zip(words, words[1:], words[2:], strict=False)


def _texts_in(value: Json) -> Iterator[str]:
    """Yield every text in a label."""
    if isinstance(value, Mapping):
        yield from chain.from_iterable(map(_texts_in, value.values()))
    elif isinstance(value, list | tuple):
        yield from chain.from_iterable(map(_texts_in, value))
    elif value is not None:
        yield str(value)


def _input_text(case: Case) -> str:
    if isinstance(case.input, str):
        return case.input
    return "\n".join(turn.content for turn in case.input)


class LabelIndex:
    """The inputs and expected answers of a set, ready to be found in texts."""

    def __init__(self, cases: Sequence[Case]) -> None:
        inputs = [list_words(_input_text(case)) for case in cases]
        labels = [[list_words(text) for text in _texts_in(case.expected)] for case in cases]
        # A template is in many inputs, and a long label of several cases names a class.
        templates = _find_common(inputs)
        classes = _find_common([list(chain.from_iterable(texts)) for texts in labels])
        self._needles = [
            _Needle(
                case,
                _own_text(words, templates),
                tuple(
                    text
                    for text in (_own_text(label, classes) for label in texts)
                    if len(text.trigrams) >= MIN_WORDS - 2
                ),
                tuple(tuple(label) for label in texts if label),
            )
            for case, words, texts in zip(cases, inputs, labels, strict=True)
        ]
        self._wanted = frozenset(
            trigram
            for needle in self._needles
            for text in (needle.input, *needle.long_texts)
            for trigram in text.trigrams
        )

    def find(self, text: str) -> list[Leak]:
        """Return the cases whose input or expected answer a text contains, each once."""
        if "\\" in text:
            text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)) if found[1] else "  ", text)
        words = list_words(text)
        found = self._locate(words)
        hits = [
            (needle, hit) for needle in self._needles if (hit := _find_leak(needle, words, found))
        ]
        if not hits:
            return []
        starts = list(accumulate((len(list_words(line)) for line in text.split("\n")), initial=0))
        return [Leak(needle.case, what, bisect_right(starts, at)) for needle, (what, at) in hits]

    def _locate(self, words: Sequence[str]) -> Mapping[Trigram, list[int]]:
        """Return where the wanted trigrams are."""
        found: dict[Trigram, list[int]] = defaultdict(list)
        wanted = self._wanted
        for at, trigram in enumerate(_trigrams_of(words)):
            if trigram in wanted:
                found[trigram].append(at)
        return found


def _find_common(texts: Sequence[Sequence[str]]) -> Collection[Trigram]:
    """Return the trigrams that too many texts share to identify one of them."""
    counts = Counter(chain.from_iterable(set(_trigrams_of(words)) for words in texts))
    most = max(_MIN_SHARED_CASES, MAX_SHARED * len(texts))
    return {trigram for trigram, count in counts.items() if count > most}


def _own_text(words: Sequence[str], common: Collection[Trigram]) -> _Text:
    own = dict.fromkeys(trigram for trigram in _trigrams_of(words) if trigram not in common)
    return _Text(tuple(words), tuple(own))


def _find_leak(
    needle: _Needle, words: Sequence[str], found: Mapping[Trigram, list[int]]
) -> tuple[str, int] | None:
    """Return what of a case is in a text, and at which word; None if nothing is."""
    stretch = _find_stretch(needle.input, found)
    if stretch is not None:
        start, end = stretch
        if any(_is_near(label, words, start, end) for label in needle.texts):
            return WHOLE_CASE, start
        if len(needle.input.trigrams) >= MIN_WORDS - 2:
            return "input", start
    for text in needle.long_texts:
        if (stretch := _find_stretch(text, found)) is not None:
            return "expected answer", stretch[0]
    return None


def _find_stretch(text: _Text, found: Mapping[Trigram, list[int]]) -> tuple[int, int] | None:
    """Return the first stretch of words that has enough of a text's trigrams; None if there is none."""
    if not text.trigrams:
        return None
    needed = -(-len(text.trigrams) * MIN_SHARE // 1)
    present = [trigram for trigram in text.trigrams if trigram in found]
    if len(present) < needed:
        return None
    reach = len(text.words) + MAX_DISTANCE
    # So many of the rarest trigrams that any stretch with enough has one of them.
    rarest = sorted(present, key=lambda trigram: len(found[trigram]))
    anchors = rarest[: len(present) - int(needed) + 1]
    for at in sorted(chain.from_iterable(found[each][:_MAX_ANCHORS] for each in anchors)):
        low, high = at - reach, at + reach
        near = [
            place for each in present if (place := _closest(found[each], at, low, high)) is not None
        ]
        if len(near) >= needed:
            return min(near), max(near) + 3
    return None


def _closest(places: Sequence[int], at: int, low: int, high: int) -> int | None:
    """Return the place next to a position within bounds; None if there is none."""
    index = bisect_right(places, at)
    near = [place for place in places[max(index - 1, 0) : index + 1] if low <= place <= high]
    return min(near, key=lambda place: abs(place - at), default=None)


def _is_near(label: Sequence[str], words: Sequence[str], start: int, end: int) -> bool:
    """Return whether a label is before or after a stretch of words, but not in it."""
    count = len(label)
    reach = MAX_DISTANCE + count
    for side in (words[end : end + reach], words[max(start - reach, 0) : start]):
        if any(
            tuple(side[index : index + count]) == tuple(label)
            for index in range(len(side) - count + 1)
        ):
            return True
    return False
