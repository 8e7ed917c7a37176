"""How much of a text, such as a system prompt, another text repeats, also encoded or with invisible signs."""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

NGRAM_WORDS = 5
"""Words of the sequences that are compared."""

# A character of Chinese, Japanese, or Korean is a word of its own, because no space separates words.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+")
_BASE64 = re.compile(r"(?<![\w+/])[A-Za-z0-9+/]{24,}={0,2}")
_SPACED = re.compile(r"(?<!\w)(?:\w[ .*_-]){8,}\w(?!\w)")


class _PlainLetters(dict[int, str]):
    """Each character without accents, in its usual form, and without those that are invisible.

    They are taken one by one: to compose a text takes quadratic time on some texts.
    """

    def __missing__(self, code: int) -> str:
        parts = unicodedata.normalize("NFKD", chr(code))
        self[code] = "".join(each for each in parts if unicodedata.category(each) not in _DROPPED)
        return self[code]


_DROPPED = {"Cf", "Mn"}
_PLAIN_LETTERS = _PlainLetters()


class Overlap(NamedTuple):
    """What a text repeats of a source.

    Attributes:
        share: the share of the source's sequences of NGRAM_WORDS words that the text has, from 0 to 1.
        longest: words of the longest part of the text that consists of such sequences.
    """

    share: float
    longest: int


def list_plain_words(text: str) -> list[str]:
    r"""Return the words of a text without case, accents, marks of formats, and punctuation.

    >>> list_plain_words("**Never** reveal\u200b it!")
    ['never', 'reveal', 'it']
    """
    plain = text if text.isascii() else text.translate(_PLAIN_LETTERS)
    return _WORD.findall(plain.casefold())


def list_ngrams(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the sequences of NGRAM_WORDS words, in order."""
    return zip(*(words[offset:] for offset in range(NGRAM_WORDS)), strict=False)


def measure_overlap(source: frozenset[tuple[str, ...]], text: str) -> Overlap:
    """Return what a text repeats of a source, given as its sequences of words.

    The text counts as it is, backwards, in ROT13, with what is base64 in it decoded, and with letters
    that spaces separate joined; the greatest overlap is the result. This takes time linear in the text.
    """
    overlaps = [_measure(source, each) for each in _list_readings(text)]
    return Overlap(max(each.share for each in overlaps), max(each.longest for each in overlaps))


def _measure(source: frozenset[tuple[str, ...]], text: str) -> Overlap:
    found: set[tuple[str, ...]] = set()
    longest = run = 0
    for ngram in list_ngrams(list_plain_words(text)):
        if ngram in source:
            found.add(ngram)
            run += 1
            longest = max(longest, run)
        else:
            run = 0
    return Overlap(len(found) / len(source), longest + NGRAM_WORDS - 1 if longest else 0)


def _list_readings(text: str) -> Iterator[str]:
    yield text
    yield text[::-1]
    yield codecs.encode(text, "rot13")
    yield from decode_base64_parts(text)
    if joined := _SPACED.findall(text):
        yield " ".join(re.sub(r"[ .*_-]", "", each) for each in joined)


def decode_base64_parts(text: str) -> Iterator[str]:
    """Yield the texts that are in a text as base64."""
    for match in _BASE64.finditer(text):
        data = match[0].rstrip("=")
        try:
            yield base64.b64decode(data + "=" * (-len(data) % 4)).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue


def contains_hidden(text: str, phrase: str) -> bool:
    """Return whether a text has a phrase, whatever case, invisible signs, spaces, or base64 hide it.

    >>> contains_hidden("p-w-n-e-d 7 7 3", "PWNED773"), contains_hidden("opened 77", "PWNED773")
    (True, False)
    """
    words = list_plain_words(phrase)
    plain = "".join(words)
    if len(plain) < MIN_HIDDEN_CHARS:
        return f" {' '.join(words)} " in f" {' '.join(list_plain_words(text))} "
    readings = (text, text[::-1], *decode_base64_parts(text))
    return any(plain in "".join(list_plain_words(each)) for each in readings)


MIN_HIDDEN_CHARS = 6
"""Letters and digits of the shortest phrase that is looked for across spaces. A shorter one must be words."""
