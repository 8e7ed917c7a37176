"""Answers that say nothing get the lowest level of every criterion, and no judge is asked to be moved."""

from __future__ import annotations

import unicodedata

from evalkit.core.judgement import CriterionVerdict, JudgeVote
from evalkit.judge.judge import JudgeRequest

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
"""What templates, serialisers and broken pipelines leave where an answer should be, folded."""


def find_empty_answer_reason(question: JudgeRequest) -> str:
    """Why an answer says nothing; empty when it says something.

    A word such as `none` counts as an answer where the reference is that word.
    """
    words = normalize_words(question.answer)
    if not words:
        return "the answer is empty" if not question.answer.strip() else "the answer has no words"
    if words in EMPTY_ANSWERS and words != normalize_words(question.reference):
        return f"the answer is the placeholder {question.answer.strip()[:40]!r}"
    return ""


def build_lowest_vote(question: JudgeRequest, reason: str) -> JudgeVote:
    """The verdicts on an answer that says nothing."""
    return JudgeVote(
        verdicts=tuple(
            CriterionVerdict(
                criterion=criterion.name,
                level=criterion.lowest.name,
                value=criterion.lowest.value,
                explanation=f"{reason}; no judge was asked",
                by="floor",
            )
            for criterion in question.criteria
        )
    )


def normalize_words(text: str) -> str:
    """The words of a text in lower case, one space between them; empty when it has none."""
    kept = (
        char if unicodedata.category(char)[0] in "LN" or _is_symbol(char) else " "
        for char in unicodedata.normalize("NFKC", text)
    )
    return " ".join("".join(kept).casefold().split())


def _is_symbol(char: str) -> bool:
    # An emoji or a currency sign may be all that an answer needs.
    return unicodedata.category(char) in ("So", "Sc", "Mn", "Mc")
