"""Give answers that say nothing the lowest level of every criterion, without asking a judge."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from evalkit.core.judgement import CriterionVerdict, JudgeVote
from evalkit.core.rubric import Criterion
from evalkit.core.unicode_form import compose_compatible

EMPTY_ANSWERS = frozenset(
    {
        "answer",
        "as an ai language model",
        "error",
        "lorem ipsum",
        "lorem ipsum dolor sit amet",
        "n a",
        "nan",
        "nil",
        "none",
        "null",
        "object object",
        "placeholder",
        "response",
        "tbd",
        "todo",
        "undefined",
        "your answer here",
    }
)
"""Texts that templates, serializers and broken pipelines return instead of an answer, normalized by
`normalize_words`."""


def find_empty_answer_reason(answer: str, reference: str) -> str:
    """Return why an answer says nothing, or an empty text if it says something.

    A word such as `none` counts as an answer if the reference is that word.
    """
    words = normalize_words(answer)
    if not words:
        return "the answer is empty" if not answer.strip() else "the answer has no words"
    if words in EMPTY_ANSWERS and words != normalize_words(reference):
        return f"the answer is the placeholder {answer.strip()[:40]!r}"
    return ""


def build_lowest_vote(criteria: Iterable[Criterion], reason: str) -> JudgeVote:
    """Return a vote with the lowest level of every criterion."""
    return JudgeVote(
        verdicts=tuple(
            CriterionVerdict(
                criterion=criterion.name,
                level=criterion.lowest.name,
                value=criterion.lowest.value,
                explanation=f"{reason}; no judge was asked",
                by="floor",
            )
            for criterion in criteria
        )
    )


def normalize_words(text: str) -> str:
    """Return the words of a text in lower case, with one space between them."""
    kept = (
        char if unicodedata.category(char)[0] in "LN" or _is_symbol(char) else " "
        for char in compose_compatible(text)
    )
    return " ".join("".join(kept).casefold().split())


def _is_symbol(char: str) -> bool:
    # An emoji or a currency sign may be a full answer.
    return unicodedata.category(char) in ("So", "Sc", "Mn", "Mc")
