"""Scores answers by the share of listed facts they state: coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.trial import Output, Score
from evalkit.metrics.builtin import AnswerMetric, check_pass_mark, texts_of
from evalkit.metrics.explanations import enumerate_values
from evalkit.metrics.normalize import WORD_NORMALISATIONS, Normalisation, contains_phrase, normalise
from evalkit.metrics.text_match import problem_with_texts


def alternatives_of(label: Json) -> tuple[tuple[str, ...], ...]:
    """Each fact of a label as its alternative spellings."""
    facts = label if isinstance(label, list | tuple) else (label,)
    return tuple(texts_of(fact) or () for fact in facts)


@dataclass(frozen=True, kw_only=True)
class Coverage(AnswerMetric):
    """The share of the facts in the label that the answer states.

    The label is a list; a fact is a text, or a list of spellings any one of which states it. A fact
    is stated when its words stand in the answer side by side, as whole words; what the sentence
    around them says is not understood.

    Args:
        pass_at: the share at which an answer passes.
        normalise: what is evened out first; the default finds `30 days` in `30-Days`.
        of: the part of the output.
        expected: the part of the label.
    """

    shorthand: ClassVar[str] = "pass_at"

    pass_at: float = 1.0
    normalise: tuple[Normalisation, ...] = WORD_NORMALISATIONS

    def __post_init__(self) -> None:
        super().__post_init__()
        check_pass_mark(self.pass_at)

    def problem_with_label(self, label: Json) -> str | None:
        """A list whose members are texts or lists of texts."""
        facts = label if isinstance(label, list | tuple) else (label,)
        if not facts:
            return problem_with_texts((), self.normalise)
        problems = (problem_with_texts(fact, self.normalise) for fact in facts)
        return next((problem for problem in problems if problem), None)

    def score(self, case: Case, output: Output) -> Score:
        """Look for every fact in the answer."""
        answer = self.answer_text(output)
        if answer is None:
            return self.score_missing(output)
        plain = normalise(answer, self.normalise)
        facts = alternatives_of(self.expected_value(case))
        missing = [
            spellings[0]
            for spellings in facts
            if not any(
                contains_phrase(plain, normalise(each, self.normalise)) for each in spellings
            )
        ]
        stated = len(facts) - len(missing)
        share = stated / len(facts)
        explanation = (
            f"states {stated} of {len(facts)} facts; missing: {enumerate_values(missing)}"
            if missing
            else ""
        )
        return Score(value=share, passed=share >= self.pass_at, explanation=explanation)
