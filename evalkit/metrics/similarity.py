"""Score answers by their similarity to a reference, computed by rapidfuzz: similarity."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, Literal

from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.trial import Score
from evalkit.core.values import quote_value
from evalkit.metrics.builtin import TextMetric, UnscorableAnswer, check_pass_mark, texts_of
from evalkit.metrics.deadline import check_deadline
from evalkit.metrics.normalize import Normalization, normalize
from evalkit.metrics.text_match import problem_with_texts

Method = Literal["ratio", "partial", "token_sort", "token_set"]

MAX_LENGTH_PRODUCT = 2e9
"""The largest comparison, as the product of both lengths."""

MAX_COMPARISON_S = 0.7
"""Processor seconds that one comparison may take, as estimated."""


def estimate_seconds(one: str, other: str, method: Method) -> float:
    """Return about the processor seconds that a comparison takes, from measurements of rapidfuzz."""
    is_ascii = one.isascii() and other.isascii()
    product = len(one) * len(other)
    if method != "partial":
        return product * (3e-11 if is_ascii else 6e-10)
    # It compares the shorter text with every part of the longer one.
    return (
        (len(one) + len(other)) * min(len(one), len(other)) ** 2 * (16e-12 if is_ascii else 80e-12)
    )


def compute_similarity(answer: str, reference: str, method: Method) -> float:
    """Return the similarity of an answer to a reference, in 0..1; only 1 means that it says all of it."""
    if answer == reference:
        return 1.0
    # Imported here because it takes 30 ms, which only sets with this metric should pay.
    from rapidfuzz import fuzz  # noqa: PLC0415

    # A part of the reference is not all of it, though functions of rapidfuzz would find it there.
    if method == "ratio" or answer in reference:
        return fuzz.ratio(answer, reference) / 100
    if method == "partial":
        is_shorter = len(answer) < len(reference)
        compare = fuzz.ratio if is_shorter else fuzz.partial_ratio
        return compare(answer, reference) / 100
    if method == "token_set":
        return _compare_words(answer.split(), reference.split())
    return fuzz.token_sort_ratio(answer, reference) / 100


def _compare_words(answer: list[str], reference: list[str]) -> float:
    """Return the similarity of the reference's words to those of the answer that count.

    Words that only the answer has count when the comparison is better with them, as when each word
    of the reference has a typo.
    """
    from rapidfuzz import fuzz  # noqa: PLC0415

    if Counter(answer) < Counter(reference):
        return fuzz.ratio(" ".join(sorted(answer)), " ".join(sorted(reference))) / 100
    given, needed = set(answer), set(reference)
    common = sorted(given & needed)
    whole = " ".join([*common, *sorted(needed - given)])
    found = [" ".join(common), " ".join([*common, *sorted(given - needed)])]
    return max(fuzz.ratio(each, whole) for each in found) / 100


@dataclass(frozen=True, kw_only=True)
class Similarity(TextMetric):
    """The similarity of answer and label, from 0 to 1; if there are several labels, the most similar counts.

    Args:
        method: `ratio` compares letter by letter (1 - insertions and deletions / both lengths);
            `partial` looks for the label in a longer answer; `token_sort` compares the words in
            alphabetical order; `token_set` looks for the words of the label in the answer. With all of
            them, a part of the label is never 1.
        pass_at: the similarity at which an answer passes.
        normalize: what to normalize first, as in exact_match.
        strip_reasoning: drop `<think>...</think>` and the like from the answer first.
        of: the part of the output.
        expected: the part of the label.
    """

    shorthand: ClassVar[str] = "pass_at"
    version: ClassVar[int] = 2

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
            self._check_size(plain, other)
            value = max(value, compute_similarity(plain, other, self.method))
        if value >= self.pass_at:
            return Score(value=value, passed=True)
        explanation = f"similarity {value:.2f}, {self.pass_at:g} needed: {quote_value(answer)}"
        return Score(value=value, passed=False, explanation=explanation)

    def _check_size(self, answer: str, reference: str) -> None:
        """Raise an error for texts that are too long to compare, or now."""
        if answer == reference:
            return
        needed_s = estimate_seconds(answer, reference, self.method)
        if needed_s > MAX_COMPARISON_S or len(answer) * len(reference) > MAX_LENGTH_PRODUCT:
            raise UnscorableAnswer(
                f"an answer of {len(answer):,} characters is too long to compare with one of "
                f"{len(reference):,} by the method {self.method}"
            )
        check_deadline("comparing the texts", needed_s)
