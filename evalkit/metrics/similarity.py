"""Score answers by their similarity to a reference, computed by rapidfuzz: similarity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.trial import Score
from evalkit.core.values import quote_value
from evalkit.metrics.builtin import TextMetric, check_pass_mark, texts_of
from evalkit.metrics.normalize import Normalization, normalize
from evalkit.metrics.text_match import problem_with_texts

Method = Literal["ratio", "partial", "token_sort", "token_set"]

MAX_LENGTH_PRODUCT: dict[Method, float] = {
    "ratio": 2e9,
    "partial": 1e8,  # it tries every position in the longer text
    "token_sort": 2e9,
    "token_set": 2e9,
}
"""The largest comparison, as the product of both lengths. Each takes rapidfuzz a few tenths of a second."""


def compute_similarity(one: str, other: str, method: Method) -> float:
    """Return the similarity of two texts by a function of rapidfuzz, in 0..1."""
    # Imported here because it takes 30 ms, which only sets with this metric should pay.
    from rapidfuzz import fuzz  # noqa: PLC0415

    functions = {
        "ratio": fuzz.ratio,
        "partial": fuzz.partial_ratio,
        "token_sort": fuzz.token_sort_ratio,
        "token_set": fuzz.token_set_ratio,
    }
    return functions[method](one, other) / 100


@dataclass(frozen=True, kw_only=True)
class Similarity(TextMetric):
    """The similarity of answer and label, from 0 to 1; if there are several labels, the most similar counts.

    Args:
        method: `ratio` compares letter by letter (1 - insertions and deletions / both lengths);
            `partial` compares the best-matching part of the longer text; `token_sort` compares the
            words in alphabetical order; `token_set` compares the words that both have in common.
        pass_at: the similarity at which an answer passes.
        normalize: what to normalize first, as in exact_match.
        of: the part of the output.
        expected: the part of the label.
    """

    shorthand: ClassVar[str] = "pass_at"

    method: Method = "ratio"
    pass_at: float = 0.8
    normalize: tuple[Normalization, ...] = ("unicode", "case", "whitespace")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_pass_mark(self.pass_at)

    def problem_with_label(self, label: Json) -> str | None:
        """Return why a label is not a text or a list of texts, or None."""
        return problem_with_texts(label, self.normalize)

    def score_text(self, case: Case, answer: str) -> Score:
        """Compare the answer with every reference."""
        plain = normalize(answer, self.normalize)
        value = 0.0
        for reference in texts_of(self.expected_value(case)) or ():
            other = normalize(reference, self.normalize)
            if len(plain) * len(other) > MAX_LENGTH_PRODUCT[self.method]:
                raise ValueError(
                    f"an answer of {len(plain)} characters is too long to compare "
                    f"with one of {len(other)}."
                )
            value = max(value, compute_similarity(plain, other, self.method))
        if value >= self.pass_at:
            return Score(value=value, passed=True)
        explanation = f"similarity {value:.2f}, {self.pass_at:g} needed: {quote_value(answer)}"
        return Score(value=value, passed=False, explanation=explanation)
