"""Scores answers by a regular expression, with a deadline that no pattern can outrun: regex."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.trial import Output, Score
from evalkit.metrics.builtin import PASSED, AnswerMetric, failed_score
from evalkit.metrics.explanations import describe_kind, quote_value

if TYPE_CHECKING:
    from regex import Pattern


DEADLINE_S = 1.0
"""The longest one search may take. `(a+)+$` takes years on 50 letters without one."""

MAX_INLINE_S = 0.02
"""What a search may take on the event loop before it is moved off it; nearly all take less."""


def compile_pattern(pattern: str) -> Pattern[str]:
    """Compile a pattern of the PyPI package `regex`, a superset of the standard library's `re`.

    Raises:
        ValueError: it is no regular expression, with the place where it stops being one.
    """
    import regex  # noqa: PLC0415 - 40 ms that only sets with a pattern should pay

    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise ValueError(
            f"{quote_value(pattern)} is no regular expression: {error}. "
            "Quote it in single quotes in YAML, and escape what is meant literally."
        ) from error


@dataclass(frozen=True, kw_only=True)
class Regex(AnswerMetric):
    """Passes an answer that a regular expression matches.

    Args:
        pattern: the expression; the case's label when there is none. Flags go inside, as `(?i)`.
        full: match the whole answer instead of searching in it.
        of: the part of the output.
        expected: the part of the label.
    """

    shorthand: ClassVar[str] = "pattern"

    pattern: str | None = None
    full: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pattern is not None:
            compile_pattern(self.pattern)

    @property
    def needs_expected(self) -> bool:
        """Only without a pattern of its own."""
        return self.pattern is None

    def problem_with_label(self, label: Json) -> str | None:
        """A text that is a regular expression."""
        if not isinstance(label, str):
            return f"expected is {describe_kind(label)}, and a regular expression is needed."
        try:
            compile_pattern(label)
        except ValueError as error:
            return f"expected: {error}"
        return None

    def score(self, case: Case, output: Output) -> Score | Awaitable[Score]:
        """Search the answer; a long search goes on in a thread, so that no agent waits for it."""
        answer = self.answer_text(output)
        if answer is None:
            return self.score_missing(output)
        pattern = self.expected_value(case) if self.pattern is None else self.pattern
        try:
            return self._search(pattern, answer, timeout_s=MAX_INLINE_S)
        except TimeoutError:
            return self._search_in_thread(pattern, answer)

    def _search(
        self, pattern: str, answer: str, *, timeout_s: float, concurrent: bool = False
    ) -> Score:
        compiled = compile_pattern(pattern)
        find = compiled.fullmatch if self.full else compiled.search
        if find(answer, timeout=timeout_s, concurrent=concurrent):
            return PASSED
        return failed_score(f"{quote_value(pattern)} does not match {quote_value(answer)}")

    async def _search_in_thread(self, pattern: str, answer: str) -> Score:
        try:
            # `concurrent` lets go of the interpreter while it searches.
            return await asyncio.to_thread(
                self._search, pattern, answer, timeout_s=DEADLINE_S, concurrent=True
            )
        except TimeoutError:
            return Score(
                state="metric_error",
                explanation=f"{quote_value(pattern)} took longer than {DEADLINE_S:g} s on an answer of "
                f"{len(answer)} characters. Rewrite it without nested repetition.",
            )
