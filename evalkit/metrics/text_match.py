"""Score answers by the texts they equal or contain: exact_match, one_of, contains, not_contains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.trial import Score
from evalkit.core.values import describe_difference, describe_kind, enumerate_values, quote_value
from evalkit.metrics.builtin import PASSED, TextMetric, failed_score, text_of, texts_of
from evalkit.metrics.normalize import (
    VISUAL_NORMALIZATIONS,
    Normalization,
    contains_phrase,
    normalize,
)


def problem_with_texts(
    value: Json, names: Sequence[Normalization], subject: str = "expected"
) -> str | None:
    """Return why a value cannot serve as the texts to look for, or None."""
    texts = texts_of(value)
    if texts is None:
        return (
            f"{subject} is {describe_kind(value)}, but a text or a list of texts is needed. "
            "Put decimals in quotes."
        )
    if not texts:
        return f"{subject} is an empty list, which says nothing about the answer. Fill it."
    blank = [text for text in texts if not normalize(text, names)]
    if blank:
        return (
            f"{subject} has {quote_value(blank[0])}, which leaves nothing to look for. Remove it."
        )
    return None


@dataclass(frozen=True, kw_only=True)
class ExactMatch(TextMetric):
    """Passes an answer that equals the label.

    Args:
        normalize: what to normalize first; the list replaces the default, and with an empty one
            texts are compared code point by code point.
        strip_reasoning: drop `<think>...</think>` and the like from the answer first.
        of: the part of the output.
        expected: the part of the label.
    """

    shorthand: ClassVar[str] = "normalize"

    normalize: tuple[Normalization, ...] = VISUAL_NORMALIZATIONS

    def score_text(self, case: Case, answer: str) -> Score:
        """Compare the two texts."""
        expected = str(text_of(self.expected_value(case)))
        if normalize(answer, self.normalize) == normalize(expected, self.normalize):
            return PASSED
        return failed_score(describe_difference(expected, answer))


@dataclass(frozen=True, kw_only=True)
class OneOf(TextMetric):
    """Passes an answer that equals one of several texts.

    Args:
        choices: the texts, the same for every case; by default those of the case's label.
        normalize: what to normalize first, as in exact_match.
        strip_reasoning: drop `<think>...</think>` and the like from the answer first.
        of: the part of the output.
        expected: the part of the label.
    """

    shorthand: ClassVar[str] = "choices"

    choices: tuple[str, ...] | None = None
    normalize: tuple[Normalization, ...] = VISUAL_NORMALIZATIONS

    def __post_init__(self) -> None:
        super().__post_init__()
        problem = self.choices is not None and problem_with_texts(self.choices, (), "choices")
        if problem:
            raise ValueError(problem)

    @property
    def needs_expected(self) -> bool:
        """Whether there are no `choices`."""
        return self.choices is None

    def problem_with_label(self, label: Json) -> str | None:
        """Return why a label is not a text or a list of texts, or None."""
        return problem_with_texts(label, ())

    def is_label(self, value: Json, case: Case) -> bool:
        """Return whether a value that is not a text equals the label or one of its choices."""
        if super().is_label(value, case):
            return True
        label = self.expected_value(case) if self.needs_expected else ()
        choices = label if isinstance(label, list | tuple) else ()
        return any(
            super(OneOf, self).is_label(value, replace(case, expected=each)) for each in choices
        )

    def score_text(self, case: Case, answer: str) -> Score:
        """Look for the answer among the texts."""
        choices = self.choices or texts_of(self.expected_value(case)) or ()
        plain = normalize(answer, self.normalize)
        if any(plain == normalize(choice, self.normalize) for choice in choices):
            return PASSED
        return failed_score(
            f"expected one of {enumerate_values(choices)}, got {quote_value(answer)}"
        )


@dataclass(frozen=True, kw_only=True)
class Contains(TextMetric):
    """Passes an answer that contains all of several texts, or any of them.

    Args:
        all: the texts that must all be there; `true`, the default, means those of the label.
        any: the texts, at least one of which must be there; `true` means those of the label.
        whole_words: match whole words and numbers only: `no` is not in `know`, nor 5 in 1.5.
        normalize: what to normalize first, as in exact_match.
        strip_reasoning: drop `<think>...</think>` and the like from the answer first.
        of: the part of the output.
        expected: the part of the label.
    """

    shorthand: ClassVar[str] = "all"
    default_mode: ClassVar[str] = "all"

    all: Literal[True] | tuple[str, ...] | None = None
    any: Literal[True] | tuple[str, ...] | None = None
    whole_words: bool = False
    normalize: tuple[Normalization, ...] = VISUAL_NORMALIZATIONS

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.all is not None and self.any is not None:
            raise ValueError("all and any exclude each other. Give one of them.")
        problem = self.own_texts is not None and problem_with_texts(
            self.own_texts, self.normalize, self.mode
        )
        if problem:
            raise ValueError(problem)

    @property
    def mode(self) -> str:
        """Whether `all` or `any` of the texts count."""
        if self.all is not None:
            return "all"
        return "any" if self.any is not None else self.default_mode

    @property
    def own_texts(self) -> tuple[str, ...] | None:
        """The texts given as arguments; None if the label gives them."""
        given = self.all if self.any is None else self.any
        return given if isinstance(given, tuple) else None

    @property
    def needs_expected(self) -> bool:
        """Whether no texts are given as arguments."""
        return self.own_texts is None

    def problem_with_label(self, label: Json) -> str | None:
        """Return why a label is not a text or a list of texts to look for, or None."""
        return problem_with_texts(label, self.normalize)

    def split_found(self, case: Case, answer: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the texts that the answer contains and those that it does not."""
        plain = normalize(answer, self.normalize)
        found: list[str] = []
        missing: list[str] = []
        for text in self.own_texts or texts_of(self.expected_value(case)) or ():
            phrase = normalize(text, self.normalize)
            is_found = contains_phrase(plain, phrase) if self.whole_words else phrase in plain
            (found if is_found else missing).append(text)
        return tuple(found), tuple(missing)

    def score_text(self, case: Case, answer: str) -> Score:
        """Look for the texts in the answer."""
        found, missing = self.split_found(case, answer)
        if not missing or (self.mode == "any" and found):
            return PASSED
        verb = "contains none of" if self.mode == "any" else "does not contain"
        return failed_score(f"{verb} {enumerate_values(missing)}")


@dataclass(frozen=True, kw_only=True)
class NotContains(Contains):
    """Passes an answer that contains none of several texts, or not all of them.

    Args:
        any: the texts, none of which may be there; `true`, the default, means those of the label.
        all: the texts that may not all be there; `true` means those of the label.
        whole_words: match whole words and numbers only: `no` is not in `know`, nor 5 in 1.5.
        normalize: what to normalize first, as in exact_match.
        strip_reasoning: drop `<think>...</think>` and the like from the answer first.
        of: the part of the output.
        expected: the part of the label.
    """

    shorthand: ClassVar[str] = "any"
    default_mode: ClassVar[str] = "any"

    def score_equal(self) -> Score:
        """Return the score of a value that equals the label, and so contains it."""
        return failed_score("equals what it must not contain")

    def score_text(self, case: Case, answer: str) -> Score:
        """Look for the texts in the answer, which fails when they are found."""
        found, missing = self.split_found(case, answer)
        if not found or (self.mode == "all" and missing):
            return PASSED
        return failed_score(f"contains {enumerate_values(found)}")
