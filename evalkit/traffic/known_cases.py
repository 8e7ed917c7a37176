"""Compare questions with the cases of eval sets: near-duplicates, and questions that resemble no case.

The similarity is that of rapidfuzz's `token_sort_ratio`: 1 minus the share of characters to insert or delete
until two texts with sorted words are equal. It finds copies with small changes, not paraphrases.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from evalkit.core.eval_set import Case
from evalkit.core.unicode_form import compose_compatible

METHOD = "token_sort_ratio"
NEAR_DUPLICATE = 0.9
"""A question at least as similar to a case is left out of a new set."""
NOVEL_BELOW = 0.5
"""A question less similar to every case counts as novel."""

_CHUNK = 10_000
_WORD = re.compile(r"\w+")


class NearCase(NamedTuple):
    """The case that a question resembles most, and how similar it is (0..1)."""

    case: str
    similarity: float


class KnownCases:
    """The questions of the cases that there are; more can be added."""

    def __init__(self, cases: Iterable[Case] = ()) -> None:
        self._names: list[str] = []
        self._texts: list[str] = []
        for case in cases:
            self.add(case.id, case.input if isinstance(case.input, str) else _join_turns(case))

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str, question: str) -> None:
        """Add a case."""
        self._names.append(name)
        self._texts.append(sort_words(question))

    def find_near(self, question: str) -> NearCase | None:
        """Return the most similar case, if it is a near-duplicate."""
        from rapidfuzz import fuzz, process  # noqa: PLC0415 - most commands compare no texts

        found = process.extractOne(
            sort_words(question), self._texts, scorer=fuzz.ratio, score_cutoff=100 * NEAR_DUPLICATE
        )
        return NearCase(self._names[found[2]], found[1] / 100) if found else None

    def find_novel(self, questions: Sequence[str]) -> list[str]:
        """Return the questions that resemble no case."""
        from rapidfuzz import fuzz, process  # noqa: PLC0415

        if not self._texts:
            return list(questions)
        novel: list[str] = []
        for at in range(0, len(questions), _CHUNK):
            part = questions[at : at + _CHUNK]
            scores = process.cdist(
                [sort_words(each) for each in part],
                self._texts,
                scorer=fuzz.ratio,
                score_cutoff=100 * NOVEL_BELOW,
                workers=-1,
            )
            # A similarity below the cutoff is 0.
            novel += [text for text, best in zip(part, scores.max(axis=1), strict=True) if not best]
        return novel


def sort_words(text: str) -> str:
    """Return the words of a text in alphabetical order, without case, punctuation, and forms of letters."""
    return " ".join(sorted(_WORD.findall(compose_compatible(text).casefold())))


def _join_turns(case: Case) -> str:
    return " ".join(
        turn.content for turn in case.input if not isinstance(turn, str) and turn.role == "user"
    )
