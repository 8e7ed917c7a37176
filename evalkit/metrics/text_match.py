"""Scores answers by the texts they equal or contain: exact_match, one_of, contains, not_contains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.trial import Output, Score
from evalkit.metrics.builtin import PASSED, AnswerMetric, failed_score, text_of, texts_of
from evalkit.metrics.explanations import (
    describe_difference,
    describe_kind,
    enumerate_values,
    quote_value,
)
from evalkit.metrics.normalize import (
    VISUAL_NORMALISATIONS,
    Normalisation,
    contains_phrase,
    normalise,
)


def problem_with_texts(
    value: Json, names: Sequence[Normalisation], subject: str = "expected"
) -> str | None:
    """Why a value cannot serve as the texts to look for."""
    texts = texts_of(value)
    if texts is None:
        return (
            f"{subject} is {describe_kind(value)}, and a text or a list of texts is needed. "
            "Put decimals in quotes."
        )
    if not texts:
        return f"{subject} is an empty list, which says nothing about the answer. Fill it."
    blank = [text for text in texts if not normalise(text, names)]
    if blank:
        return (
            f"{subject} has {quote_value(blank[0])}, which leaves nothing to look for. Remove it."
        )
    return None


@dataclass(frozen=True, kw_only=True)
class ExactMatch(AnswerMetric):
    """Passes an answer that equals the label.

    Args:
        normalise: what is evened out first; the list replaces the default, an empty one compares
            code point by code point.
        of: the part of the output.
        expected: the part of the label.
    """

    shorthand: ClassVar[str] = "normalise"

    normalise: tuple[Normalisation, ...] = VISUAL_NORMALISATIONS

    def score(self, case: Case, output: Output) -> Score:
        """Compare the one text with the other."""
        answer = self.answer_text(output)
        if answer is None:
            return self.score_missing(output)
        wanted = str(text_of(self.expected_value(case)))
        if normalise(answer, self.normalise) == normalise(wanted, self.normalise):
            return PASSED
        return failed_score(describe_difference(wanted, answer))


@dataclass(frozen=True, kw_only=True)
class OneOf(AnswerMetric):
    """Passes an answer that equals one of several texts.

    Args:
        choices: the texts, the same for every case; the case's label when there are none.
        normalise: what is evened out first, as in exact_match.
        of: the part of the output.
        expected: the part of the label.
    """

    shorthand: ClassVar[str] = "choices"

    choices: tuple[str, ...] | None = None
    normalise: tuple[Normalisation, ...] = VISUAL_NORMALISATIONS

    def __post_init__(self) -> None:
        super().__post_init__()
        problem = self.choices is not None and problem_with_texts(self.choices, (), "choices")
        if problem:
            raise ValueError(problem)

    @property
    def needs_expected(self) -> bool:
        """Only without choices of its own."""
        return self.choices is None

    def problem_with_label(self, label: Json) -> str | None:
        """One text or a list of texts."""
        return problem_with_texts(label, ())

    def score(self, case: Case, output: Output) -> Score:
        """Look for the answer among the texts."""
        answer = self.answer_text(output)
        if answer is None:
            return self.score_missing(output)
        choices = self.choices or texts_of(self.expected_value(case)) or ()
        plain = normalise(answer, self.normalise)
        if any(plain == normalise(choice, self.normalise) for choice in choices):
            return PASSED
        return failed_score(
            f"expected one of {enumerate_values(choices)}, got {quote_value(answer)}"
        )


@dataclass(frozen=True, kw_only=True)
class Contains(AnswerMetric):
    """Passes an answer in which all of several texts stand, or any of them.

    Args:
        all: the texts that must all be there; `true`, the default, means those of the label.
        any: the texts of which one must be there; `true` means those of the label.
        whole_words: find `no` in `no, thanks` and not in `know`, 5 not in 1.5.
        normalise: what is evened out first, as in exact_match.
        of: the part of the output.
        expected: the part of the label.
    """

    shorthand: ClassVar[str] = "all"
    default_mode: ClassVar[str] = "all"

    all: Literal[True] | tuple[str, ...] | None = None
    any: Literal[True] | tuple[str, ...] | None = None
    whole_words: bool = False
    normalise: tuple[Normalisation, ...] = VISUAL_NORMALISATIONS

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.all is not None and self.any is not None:
            raise ValueError("all and any exclude each other. Give one of them.")
        name, given = ("all", self.all) if self.any is None else ("any", self.any)
        problem = isinstance(given, tuple) and problem_with_texts(given, self.normalise, name)
        if problem:
            raise ValueError(problem)

    @property
    def mode(self) -> str:
        """Whether `all` or `any` of the texts count."""
        if self.all is not None:
            return "all"
        return "any" if self.any is not None else self.default_mode

    @property
    def own_texts(self) -> tuple[str, ...]:
        """The texts given as arguments."""
        given = self.all if self.any is None else self.any
        return given if isinstance(given, tuple) else ()

    @property
    def needs_expected(self) -> bool:
        """Only without texts of its own."""
        return not self.own_texts

    def problem_with_label(self, label: Json) -> str | None:
        """One text or a list of texts, none of them blank."""
        return problem_with_texts(label, self.normalise)

    def split_found(self, case: Case, answer: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The texts that are in the answer and those that are not."""
        texts = self.own_texts or texts_of(self.expected_value(case)) or ()
        plain = normalise(answer, self.normalise)
        there: list[str] = []
        missing: list[str] = []
        for text in texts:
            phrase = normalise(text, self.normalise)
            found = contains_phrase(plain, phrase) if self.whole_words else phrase in plain
            (there if found else missing).append(text)
        return tuple(there), tuple(missing)

    def score(self, case: Case, output: Output) -> Score:
        """Look for the texts in the answer."""
        answer = self.answer_text(output)
        if answer is None:
            return self.score_missing(output)
        there, missing = self.split_found(case, answer)
        if not missing or (self.mode == "any" and there):
            return PASSED
        if self.mode == "any":
            return failed_score(f"contains none of {enumerate_values(missing)}")
        return failed_score(f"does not contain {enumerate_values(missing)}")


@dataclass(frozen=True, kw_only=True)
class NotContains(Contains):
    """Passes an answer in which none of several texts stands, or not all of them together.

    Args:
        any: the texts of which none may be there; `true`, the default, means those of the label.
        all: the texts that may not all be there; `true` means those of the label.
        whole_words: find `no` in `no, thanks` and not in `know`, 5 not in 1.5.
        normalise: what is evened out first, as in exact_match.
        of: the part of the output.
        expected: the part of the label.
    """

    shorthand: ClassVar[str] = "any"
    default_mode: ClassVar[str] = "any"

    def score(self, case: Case, output: Output) -> Score:
        """Look for the texts in the answer; finding them is what fails it."""
        answer = self.answer_text(output)
        if answer is None:
            return self.score_missing(output)
        there, missing = self.split_found(case, answer)
        if not there or (self.mode == "all" and missing):
            return PASSED
        return failed_score(f"contains {enumerate_values(there)}")
