"""Text in four languages, split into sentences, words, and stems."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

LANGUAGES = ("en", "de", "fr", "es")

# The words of a question that carry no meaning.
STOP_WORDS: Mapping[str, frozenset[str]] = {
    language: frozenset(
        (Path(__file__).parent / "stop_words" / f"{language}.txt").read_text("utf-8").split()
    )
    for language in LANGUAGES
}

# Longest first, so that "ings" is tried before "s".
ENDINGS: Mapping[str, tuple[str, ...]] = {
    "en": ("ations", "ation", "ings", "ing", "ies", "ied", "ed", "es", "ly", "s", "e", "y"),
    "de": ("ungen", "ung", "en", "er", "em", "es", "e", "n", "s", "t"),
    "fr": ("ements", "ement", "ations", "ation", "ons", "ent", "es", "er", "ez", "e", "s"),
    "es": ("aciones", "acion", "iones", "ion", "mos", "ar", "er", "an", "en", "os", "as", "o", "a"),
}
SHORTEST_STEM = 3


def split_sentences(text: str) -> list[str]:
    """Split at marks that end a sentence, not at those inside 4.90 or 14:00."""
    return [part for part in re.split(r"(?<=[.!?])\s+", text.strip()) if part]


def words_of(text: str) -> list[str]:
    """Return the words and numbers of a text, without case and accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return re.findall(r"[^\W_]+", "".join(c for c in plain if not unicodedata.combining(c)))


def stem(word: str, language: str) -> str:
    """Remove a word's ending, so that "returned" and "returns" both become "return"."""
    for ending in ENDINGS[language]:
        if word.endswith(ending) and len(word) - len(ending) >= SHORTEST_STEM:
            word = word[: -len(ending)]
            break
    doubled = len(word) > SHORTEST_STEM and word[-1] == word[-2]
    return word[:-1] if doubled else word


def detect_language(text: str) -> str:
    """Return the language of most of the text's small words; English if there is a tie."""
    words = words_of(text)
    counts = {each: sum(word in small for word in words) for each, small in STOP_WORDS.items()}
    best = max(counts, key=lambda each: counts[each])
    return best if counts[best] > counts["en"] else "en"
