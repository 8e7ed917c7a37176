"""Score answers by a regular expression, with a deadline that stops every pattern: regex."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.trial import Output, Score
from evalkit.core.values import describe_kind, quote_value
from evalkit.metrics.builtin import PASSED, AnswerMetric, failed_score

if TYPE_CHECKING:
    from regex import Pattern


DEADLINE_S = 1.0
"""The longest that one search may take. Without a deadline, `(a+)+$` takes years on 50 letters."""

MAX_INLINE_S = 0.02
"""The longest that a search may block the event loop before it moves to a thread."""


def compile_pattern(pattern: str) -> Pattern[str]:
    """Compile a pattern of the PyPI package `regex`, a superset of the standard library's `re`.

    Raises:
        ValueError: it is not a regular expression; the message has the position of the error.
    """
    # Imported here because it takes 40 ms, which only sets with a pattern should pay.
    import regex  # noqa: PLC0415

    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise ValueError(
            f"{quote_value(pattern)} is not a regular expression: {error}. "
            "Put it in single quotes in YAML, and escape special characters."
        ) from error


@dataclass(frozen=True, kw_only=True)
class Regex(AnswerMetric):
    """Passes an answer that a regular expression matches.

    Args:
        pattern: the expression; by default the case's label. Flags go inside, as `(?i)`.
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
        """Whether there is no `pattern`."""
        return self.pattern is None

    def problem_with_label(self, label: Json) -> str | None:
        """Return why a label is not a regular expression, or None."""
        if not isinstance(label, str):
            return f"expected is {describe_kind(label)}, but a regular expression is needed."
        try:
            compile_pattern(label)
        except ValueError as error:
            return f"expected: {error}"
        return None

    def score(self, case: Case, output: Output) -> Score | Awaitable[Score]:
        """Search the answer; a long search continues in a thread, so that no agent waits for it."""
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
            # `concurrent` releases the interpreter lock during the search.
            return await asyncio.to_thread(
                self._search, pattern, answer, timeout_s=DEADLINE_S, concurrent=True
            )
        except TimeoutError:
            return Score(
                state="metric_error",
                explanation=f"{quote_value(pattern)} took longer than {DEADLINE_S:g} s on an answer of "
                f"{len(answer)} characters. Rewrite it without nested repetition.",
            )
