"""Score answers by the share of listed facts that they state: coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.trial import Score
from evalkit.core.values import enumerate_values
from evalkit.metrics.builtin import PASSED, TextMetric, check_pass_mark, texts_of
from evalkit.metrics.normalize import WORD_NORMALIZATIONS, Normalization, contains_phrase, normalize
from evalkit.metrics.text_match import problem_with_texts


def alternatives_of(label: Json) -> tuple[tuple[str, ...], ...]:
    """Return each fact of a label as the texts that state it."""
    return tuple(texts_of(fact) or () for fact in _facts_of(label))


def _facts_of(label: Json) -> tuple[Json, ...]:
    return tuple(label) if isinstance(label, list | tuple) else (label,)


@dataclass(frozen=True, kw_only=True)
class Coverage(TextMetric):
    """The share of the facts in the label that the answer states.

    The label is a list of facts. A fact is a text, or a list of texts any of which states it. An
    answer states a fact when it contains the fact's words in sequence, as whole words; the meaning
    of the sentence around them is not considered.

    Args:
        pass_at: the share at which an answer passes.
        normalize: what to normalize first; the default finds `30 days` in `30-Days`.
        strip_reasoning: drop `<think>...</think>` and the like from the answer first.
        of: the part of the output.
        expected: the part of the label.
    """

    shorthand: ClassVar[str] = "pass_at"

    pass_at: float = 1.0
    normalize: tuple[Normalization, ...] = WORD_NORMALIZATIONS

    def __post_init__(self) -> None:
        super().__post_init__()
        check_pass_mark(self.pass_at)

    def problem_with_label(self, label: Json) -> str | None:
        """Return why a label is not a list of facts, or None."""
        # An empty list is a problem by itself, because it has no fact to check.
        problems = (problem_with_texts(fact, self.normalize) for fact in _facts_of(label) or ((),))
        return next((problem for problem in problems if problem), None)

    def score_text(self, case: Case, answer: str) -> Score:
        """Look for every fact in the answer."""
        plain = normalize(answer, self.normalize)
        facts = alternatives_of(self.expected_value(case))
        missing = [
            texts[0]
            for texts in facts
            if not any(contains_phrase(plain, normalize(text, self.normalize)) for text in texts)
        ]
        if not missing:
            return PASSED
        stated = len(facts) - len(missing)
        share = stated / len(facts)
        explanation = f"states {stated} of {len(facts)} facts; missing: {enumerate_values(missing)}"
        return Score(value=share, passed=share >= self.pass_at, explanation=explanation)
