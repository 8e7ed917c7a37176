"""Scores answers by a regular expression, with a deadline that no pattern can outrun: regex."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from evalkit.metrics.metric import PASSED, AnswerMetric, failed
from evalkit.metrics.words import kind_of, quote
from evalkit.records import Case, Json, Output, Score

if TYPE_CHECKING:
    from regex import Pattern

DEADLINE_S = 1.0
"""The longest one search may take. `(a+)+$` takes years on 50 letters without one."""

INLINE_S = 0.02
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
            f"{quote(pattern)} is no regular expression: {error}. "
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
            return f"expected is {kind_of(label)}, and a regular expression is needed."
        try:
            compile_pattern(label)
        except ValueError as error:
            return f"expected: {error}"
        return None

    def score(self, case: Case, output: Output) -> Score | Awaitable[Score]:
        """Search the answer; a long search goes on in a thread, so that no agent waits for it."""
        answer = self.answer_text(output)
        if answer is None:
            return self.lacking(output)
        pattern = self.wanted(case) if self.pattern is None else self.pattern
        try:
            return self._search(pattern, answer, timeout_s=INLINE_S)
        except TimeoutError:
            return self._search_aside(pattern, answer)

    def _search(
        self, pattern: str, answer: str, *, timeout_s: float, concurrent: bool = False
    ) -> Score:
        compiled = compile_pattern(pattern)
        find = compiled.fullmatch if self.full else compiled.search
        if find(answer, timeout=timeout_s, concurrent=concurrent):
            return PASSED
        return failed(f"{quote(pattern)} does not match {quote(answer)}")

    async def _search_aside(self, pattern: str, answer: str) -> Score:
        try:
            # `concurrent` lets go of the interpreter while it searches.
            return await asyncio.to_thread(
                self._search, pattern, answer, timeout_s=DEADLINE_S, concurrent=True
            )
        except TimeoutError:
            return Score(
                state="metric_error",
                explanation=f"{quote(pattern)} took longer than {DEADLINE_S:g} s on an answer of "
                f"{len(answer)} characters. Rewrite it without nested repetition.",
            )
