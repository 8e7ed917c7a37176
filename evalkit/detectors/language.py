"""The language of a text, by py3langid's model of 97 and more languages, which needs no network."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from evalkit.core.unicode_form import compose

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

MIN_LETTERS = 12
"""Letters of the shortest text whose language is decided. A character of Chinese or Japanese counts three."""

MIN_CONFIDENCE = 0.8
"""The probability from which a language is believed."""

NO_LANGUAGE = "zxx"
"""The code for what is in no language, such as noise (ISO 639-2)."""

MAX_CHARS = 2_000
"""Characters of a sentence that decide about its language."""

MAX_DOUBT = 0.02
"""The probability of a language below which a sentence is taken to be in another."""

# Code, addresses, mentions, and placeholders are in no language.
_UNSPOKEN = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]{1,300}`|\b[a-z][a-z0-9+.-]{1,20}://\S+|<[^<>\n]{1,200}>|\S{1,80}@\S+|(?a:\b\w*\d\w*\b)",
    re.DOTALL | re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.!?\u3002\uff01\uff1f\u0964\n]+[.!?\u3002\uff01\uff1f\u0964\n]*")
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_SAME = (
    {"no", "nb", "nn", "da"},
    {"hr", "bs", "sr"},
    {"id", "ms"},
    {"fa", "ps"},
    {"hi", "mr", "ne"},
)


class DetectedLanguage(NamedTuple):
    """A language by its code in ISO 639-1, and the probability of the model."""

    code: str
    confidence: float


def detect_language(text: str, among: Collection[str] = ()) -> DetectedLanguage | None:
    """Return the language of a text, or None if the text is too short or the model unsure.

    With `among`, it is one of these, about which the model is unsure less often.
    """
    ranked = _rank_languages(strip_unspoken(text), among)
    return ranked[0] if ranked and ranked[0].confidence >= MIN_CONFIDENCE else None


def measure_share_of_language(
    text: str, code: str, among: Collection[str] = ()
) -> tuple[float, str]:
    """Return the share of a text that is not in another language, by letters, and the most frequent other.

    A sentence is in another language if the model gives a probability below MAX_DOUBT to this one and to
    those closely related, as Norwegian to Danish. Sentences that are too short are joined with the next.
    """
    total = 0
    others: dict[str, int] = {}
    for part in _split_parts(strip_unspoken(text)):
        letters = count_letters(part)
        total += letters
        ranked = _rank_languages(part, among)
        expected = sum(each.confidence for each in ranked if is_same_language(each.code, code))
        if ranked and expected < MAX_DOUBT and ranked[0].code != NO_LANGUAGE:
            others[ranked[0].code] = others.get(ranked[0].code, 0) + letters
    most = max(others, key=others.__getitem__, default="")
    return (1 - sum(others.values()) / total if total else 1.0), most


def _rank_languages(plain: str, among: Collection[str]) -> list[DetectedLanguage]:
    """Return the languages of a text, the most probable first; empty if the text is too short."""
    if count_letters(plain) < MIN_LETTERS:
        return []
    # The model composes texts as well, which is fast only if they are composed.
    ranked = _load_model().rank(compose(plain[:MAX_CHARS]))
    chosen = [(code, share) for code, share in ranked if not among or code in among]
    # All of those chosen may be so improbable that their shares are zero.
    total = sum(share for _, share in chosen) or 1.0
    return [DetectedLanguage(code, share / total) for code, share in chosen]


def is_same_language(one: str, other: str) -> bool:
    """Return whether two codes are of one language, or of two that look alike in short texts."""
    return one == other or any({one, other} <= group for group in _SAME)


@cache
def known_languages() -> frozenset[str]:
    """Return the codes of the languages that the model knows."""
    return frozenset(_load_model().labels)


def strip_unspoken(text: str) -> str:
    """Return a text without code, addresses, and words with digits."""
    return _UNSPOKEN.sub(" ", text)


def count_letters(text: str) -> int:
    """Return the letters of a text; a character that is a syllable or a word counts three."""
    return sum(map(str.isalpha, text)) + 2 * len(_WIDE.findall(text))


def _split_parts(text: str) -> Iterator[str]:
    """Yield sentences; those with too few letters are joined with the next."""
    start = letters = 0
    for match in _SENTENCE.finditer(text):
        letters += count_letters(match[0])
        if letters >= 3 * MIN_LETTERS:
            yield text[start : match.end()]
            start, letters = match.end(), 0
    if letters:
        yield text[start:]


@cache
def _load_model() -> LanguageIdentifier:
    """Load the model, which takes about half a second."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
