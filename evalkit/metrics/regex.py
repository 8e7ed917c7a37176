"""Score answers by a regular expression, with a deadline that stops every pattern: regex."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.trial import Score
from evalkit.core.values import describe_kind, quote_value
from evalkit.metrics.builtin import PASSED, TextMetric, failed_score
from evalkit.metrics.deadline import MAX_INLINE_S, OutOfTime, remaining_s

if TYPE_CHECKING:
    from regex import Pattern


DEADLINE_S = 1.0
"""The longest that one search may take. Without a deadline, `(a+)+$` takes years on 50 letters."""


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
class Regex(TextMetric):
    """Passes an answer that a regular expression matches.

    Args:
        pattern: the expression; by default the case's label. Flags go inside, as `(?i)`.
        full: match the whole answer instead of searching in it.
        strip_reasoning: drop `<think>...</think>` and the like from the answer first.
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

    def score_text(self, case: Case, answer: str) -> Score:
        """Search the answer."""
        pattern = self.expected_value(case) if self.pattern is None else self.pattern
        compiled = compile_pattern(pattern)
        find = compiled.fullmatch if self.full else compiled.search
        is_inline = remaining_s() <= MAX_INLINE_S
        try:
            # `concurrent` releases the interpreter lock during the search.
            found = find(
                answer,
                timeout=MAX_INLINE_S if is_inline else DEADLINE_S,
                concurrent=not is_inline,
            )
        except TimeoutError:
            raise OutOfTime(
                f"{quote_value(pattern)} took longer than {DEADLINE_S:g} s on an answer of "
                f"{len(answer)} characters. Rewrite it without nested repetition."
            ) from None
        if found:
            return PASSED
        return failed_score(f"{quote_value(pattern)} does not match {quote_value(answer)}")
