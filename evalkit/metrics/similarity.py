"""Scores answers by how alike they are to a reference: similarity, computed by rapidfuzz."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.trial import Output, Score
from evalkit.metrics.builtin import AnswerMetric, check_pass_mark, texts_of
from evalkit.metrics.explanations import quote_value
from evalkit.metrics.normalize import Normalisation, normalise
from evalkit.metrics.text_match import problem_with_texts

Method = Literal["ratio", "partial", "token_sort", "token_set"]

MAX_LENGTH_PRODUCT: dict[Method, float] = {
    "ratio": 2e9,
    "partial": 1e8,
    "token_sort": 2e9,
    "token_set": 2e9,
}
"""The longest comparison, as length times length; each takes rapidfuzz a few tenths of a second."""


def ratio_by(method: Method) -> Callable[[str, str], float]:
    """Rapidfuzz's function of two texts that gives 0 to 100."""
    from rapidfuzz import fuzz  # noqa: PLC0415 - 30 ms that only sets with this metric should pay

    functions: dict[Method, Callable[[str, str], float]] = {
        "ratio": fuzz.ratio,
        "partial": fuzz.partial_ratio,
        "token_sort": fuzz.token_sort_ratio,
        "token_set": fuzz.token_set_ratio,
    }
    return functions[method]


@dataclass(frozen=True, kw_only=True)
class Similarity(AnswerMetric):
    """How alike the answer and the label are, from 0 to 1; of several labels, the most alike.

    Args:
        method: `ratio` compares letter by letter (1 - insertions and deletions / both lengths);
            `partial` the best-matching stretch of the longer text; `token_sort` the words in
            alphabetical order; `token_set` the words that are common to both.
        pass_at: the likeness at which an answer passes.
        normalise: what is evened out first, as in exact_match.
        of: the part of the output.
        expected: the part of the label.
    """

    shorthand: ClassVar[str] = "pass_at"

    method: Method = "ratio"
    pass_at: float = 0.8
    normalise: tuple[Normalisation, ...] = ("unicode", "case", "whitespace")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_pass_mark(self.pass_at)

    def problem_with_label(self, label: Json) -> str | None:
        """One text or a list of texts, none of them blank."""
        return problem_with_texts(label, self.normalise)

    def score(self, case: Case, output: Output) -> Score:
        """Compare the answer with every reference."""
        answer = self.answer_text(output)
        if answer is None:
            return self.score_missing(output)
        plain = normalise(answer, self.normalise)
        compare = ratio_by(self.method)
        value = 0.0
        for reference in texts_of(self.expected_value(case)) or ():
            other = normalise(reference, self.normalise)
            if len(plain) * len(other) > MAX_LENGTH_PRODUCT[self.method]:
                raise ValueError(
                    f"an answer of {len(plain)} characters is too long to compare "
                    f"with one of {len(other)}."
                )
            value = max(value, compare(plain, other) / 100)
        passed = value >= self.pass_at
        explanation = (
            "" if passed else f"{value:.2f} alike, {self.pass_at:g} needed: {quote_value(answer)}"
        )
        return Score(value=value, passed=passed, explanation=explanation)
