"""Find the case that a text is most similar to, by the character n-grams of both."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import NamedTuple

import numpy as np

from evalkit.stats.distributions import Floats, Ints

METHOD = "character 3- to 5-grams, TF-IDF"

MIN_SIMILARITY = 0.35
"""The similarity from which on a text resembles a case. Of 20 paraphrases of cases of the support example it
accepts 15, of which 14 with the right case, and of 20 questions about other things 1."""

_SIZES = (3, 4, 5)
_WORD = re.compile(r"\S+")


class Nearest(NamedTuple):
    """The index of the most similar case, and the cosine of the angle between both texts (0..1)."""

    case: int
    similarity: float


@dataclass(frozen=True, kw_only=True, eq=False)
class CaseIndex:
    """The texts of cases as unit vectors of their n-grams.

    `postings` maps an n-gram to the cases that have it, with their weights. `idf` are the inverse document
    frequencies (Salton and Buckley 1988), `unknown_idf` that of an n-gram that no case has.
    """

    size: int
    postings: Mapping[str, tuple[Ints, Floats]]
    idf: Mapping[str, float]
    unknown_idf: float

    def compare(self, text: str) -> Floats:
        """Return the similarity of a text to every case, shape (cases,)."""
        scores = np.zeros(self.size)
        norm = 0.0
        for gram, count in _count_grams(text).items():
            # N-grams that no case has count in the length, so that a new topic is not similar to anything.
            weight = count * self.idf.get(gram, self.unknown_idf)
            norm += weight * weight
            if gram in self.postings:
                cases, weights = self.postings[gram]
                scores[cases] += weight * weights
        return scores / sqrt(norm) if norm else scores

    def find_nearest(self, text: str) -> Nearest:
        """Return the most similar case, the first one of equals."""
        scores = self.compare(text)
        case = int(scores.argmax())
        return Nearest(case, float(scores[case]))


def build_case_index(texts: Sequence[str]) -> CaseIndex:
    """Return the index of cases by their texts, at least one."""
    counts = [_count_grams(text) for text in texts]
    frequency = Counter(gram for row in counts for gram in row)
    idf = {gram: log((1 + len(texts)) / (1 + found)) + 1 for gram, found in frequency.items()}
    postings: dict[str, list[tuple[int, float]]] = {gram: [] for gram in idf}
    for index, row in enumerate(counts):
        norm = sqrt(sum((count * idf[gram]) ** 2 for gram, count in row.items()))
        for gram, count in row.items():
            postings[gram].append((index, count * idf[gram] / norm))
    return CaseIndex(
        size=len(texts),
        postings={
            gram: (np.array([case for case, _ in rows]), np.array([weight for _, weight in rows]))
            for gram, rows in postings.items()
        },
        idf=idf,
        unknown_idf=log(1 + len(texts)) + 1,
    )


def _count_grams(text: str) -> Counter[str]:
    """Return the n-grams of the words of a text, with a space at both ends of a word."""
    found: Counter[str] = Counter()
    for word in _WORD.findall(text.casefold()):
        padded = f" {word} "
        for size in _SIZES:
            found.update(
                padded[start : start + size] for start in range(max(1, len(padded) - size + 1))
            )
    return found
