"""Compare texts by their significant words, numbers and negations, without knowing the language."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from evalkit.core.unicode_form import compose_compatible

_SENTENCE = re.compile(r"[^\s].*?(?:[.!?…](?=\s)|[。！？]|\n|$)")
_DIGIT = re.compile(r"\d")
_CLAUSE_END = re.compile(r"[,;:](?=\s)|\s[–—-]\s")
_SEPARATORS = re.compile(r"[\s\-‐-―/_|=<>{}\[\]()\"“”«»]+")
_CLITICS = re.compile(r"['’](?:s|re|ve|ll|m|d)$")
_WITHOUT_SPACES = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_EDGE_CHARACTERS = "".join(
    char for char in map(chr, range(0x3100)) if unicodedata.category(char)[0] in "PSZC"
)

_NEGATIONS_BY_LANGUAGE = """
no not never cannot none nothing nobody neither nor without
nicht nichts kein keine keinen keinem keiner nie niemals ohne weder
ne pas jamais aucun aucune rien sans
nunca ninguna ninguno ningún nada tampoco sin
non nessun nessuno senza
não nenhum nenhuma sem
niet geen nooit zonder
"""
NEGATIONS = frozenset(_NEGATIONS_BY_LANGUAGE.split())
"""Negations in English, German, French, Spanish, Italian, Portuguese and Dutch."""

TEXT_CACHE_SIZE = 2048
"""The number of texts whose words are cached, because all criteria and examples compare one answer."""

MAX_SHORT_WORD_LENGTH = 3
"""Letters. In most languages with spaces, words up to this length are mostly function words."""

SHORT_WORD_WEIGHT = 0.25
KNOWN_WORD_WEIGHT = 0.1
NUMBER_WEIGHT = 2.0
"""The weights of words relative to a long word, which has 1. A word that is also in the question shows
little; a number rarely matches by chance."""


@dataclass(frozen=True)
class Passage:
    """A part of a text, as written and as words."""

    text: str
    words: tuple[str, ...]

    @cached_property
    def weights(self) -> Mapping[str, float]:
        """The weight of each word."""
        return weigh_words(self.words)

    @cached_property
    def lexicon(self) -> Lexicon:
        """The words as a Lexicon."""
        return Lexicon(self.words)

    @cached_property
    def is_negated(self) -> bool:
        """Whether it has a negation."""
        return any(map(is_negation, self.words))


def is_negation(word: str) -> bool:
    """Return whether a word is a negation in a known language."""
    return word in NEGATIONS or word.endswith(("n't", "n’t"))


def is_number(word: str) -> bool:
    """Return whether a word has a digit: amounts, times, order numbers."""
    return not word.isalpha() and _DIGIT.search(word) is not None


@lru_cache(maxsize=TEXT_CACHE_SIZE)
def split_words(text: str) -> tuple[str, ...]:
    """Return the words of a text in lower case; numbers keep inner points, and `4,90` is `4.90`."""
    found: list[str] = []
    for piece in _SEPARATORS.split(compose_compatible(text).casefold()):
        word = piece if piece.isalnum() else _CLITICS.sub("", piece.strip(_EDGE_CHARACTERS))
        if _WITHOUT_SPACES.search(word):
            found += [char for char in word if char not in _EDGE_CHARACTERS]
        elif word:
            found.append(word.replace(",", ".") if is_number(word) else word)
    return tuple(found)


@lru_cache(maxsize=TEXT_CACHE_SIZE)
def split_sentences(text: str) -> tuple[Passage, ...]:
    """Return the sentences and lines of a text that have words."""
    return _to_passages(match.group() for match in _SENTENCE.finditer(text))


@lru_cache(maxsize=TEXT_CACHE_SIZE)
def split_clauses(text: str) -> tuple[Passage, ...]:
    """Return the parts of a text between punctuation marks, except single words such as `yes`."""
    pieces = (_CLAUSE_END.split(passage.text) for passage in split_sentences(text))
    clauses = _to_passages(piece for parts in pieces for piece in parts)
    return tuple(clause for clause in clauses if len(clause.words) > 1) or clauses


def _to_passages(pieces: Iterable[str]) -> tuple[Passage, ...]:
    return tuple(Passage(piece.strip(), words) for piece in pieces if (words := split_words(piece)))


def weigh_words(words: Iterable[str], *, known: Iterable[str] = ()) -> dict[str, float]:
    """Return the weight of each word except negations; words `known` from the question weigh little."""
    lexicon = Lexicon(known)
    weights = {}
    for word in words:
        # Negations are compared separately, by `is_negated`.
        if is_negation(word):
            continue
        if lexicon.has(word):
            weights[word] = KNOWN_WORD_WEIGHT
        elif is_number(word):
            weights[word] = NUMBER_WEIGHT
        else:
            is_little = len(word) <= MAX_SHORT_WORD_LENGTH and not _WITHOUT_SPACES.match(word)
            weights[word] = SHORT_WORD_WEIGHT if is_little else 1.0
    return weights


class Lexicon:
    """A set of words that also matches similar words: with `return`, it has `returned` too."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = frozenset(words)
        self._by_start: dict[str, list[str]] = {}
        self._by_letter: dict[str, list[str]] = {}
        for word in self.words:
            # Shorter words are too often similar by chance, and similar numbers are not equal.
            if len(word) >= 4 and not is_number(word):
                self._by_start.setdefault(word[:4], []).append(word)
                self._by_letter.setdefault(word[0], []).append(word)

    def has(self, word: str) -> bool:
        """Return whether it has the word, one with the same beginning, or one with a typing error."""
        if word in self.words:
            return True
        if len(word) < 4 or is_number(word):
            return False
        if any(_has_common_prefix(word, other) for other in self._by_start.get(word[:4], ())):
            return True
        return len(word) > 5 and any(
            abs(len(other) - len(word)) < 2 and _is_typo(word, other)
            for other in self._by_letter.get(word[0], ())
        )


def _is_typo(one: str, other: str) -> bool:
    """Return whether two words differ by one letter that is missing, added, changed or swapped."""
    start = next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
    one, other = one[start:], other[start:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    return (len(one) < 2 and len(other) < 2) or (len(one) == 2 and one == other[::-1])


def _has_common_prefix(one: str, other: str) -> bool:
    wanted = max(4, round(0.6 * max(len(one), len(other))))
    return len(other) >= wanted and one[:wanted] == other[:wanted]


def compute_found_share(weights: Mapping[str, float], *lexicons: Lexicon) -> float:
    """Return the share of the words in the lexicons, by weight; 0 if they have no weight."""
    total = sum(weights.values())
    if not total:
        return 0.0
    found = (
        weight for word, weight in weights.items() if any(lexicon.has(word) for lexicon in lexicons)
    )
    return sum(found) / total


@lru_cache(maxsize=TEXT_CACHE_SIZE)
def _weigh_text(text: str) -> Mapping[str, float]:
    return weigh_words(split_words(text))


def find_similar(wanted: str, text: str) -> tuple[float, str]:
    """Return the largest share of a wanted text that is in another, and the sentence where it is.

    Compare sequences of as many sentences as the wanted text has. Skip sequences with a negation if the
    wanted text has none, and the reverse.
    """
    needed, passages = split_sentences(wanted), split_sentences(text)
    weights = _weigh_text(wanted)
    is_negated = any(passage.is_negated for passage in needed)
    best = (0.0, "")
    for start in range(max(1, len(passages) - len(needed) + 1) if needed else 0):
        window = passages[start : start + len(needed)]
        if is_negated != any(passage.is_negated for passage in window):
            continue
        similarity = compute_found_share(weights, *(passage.lexicon for passage in window))
        if similarity > best[0]:
            best = (similarity, window[0].text)
    return best
