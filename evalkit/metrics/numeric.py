"""Score answers by the number they state: numeric."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import ClassVar, Literal

from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.trial import Output, Score
from evalkit.core.values import ABSENT, describe_kind, quote_value
from evalkit.metrics.builtin import PASSED, TextMetric, UnscorableAnswer, failed_score
from evalkit.metrics.numeric_text import DecimalMark, PercentReading, Reading, read_numbers

MAX_NUMBERS = 10_000
"""Numbers of one answer that are read. An answer with more is a table or a loop."""


@dataclass(frozen=True, kw_only=True)
class Numeric(TextMetric):
    """Passes an answer whose number equals the label's, within `abs_tol` and `rel_tol`.

    The label is a number, or a text with one number in it. A number in the output's data is used as
    it is; in a text, `read_numbers` looks for it. Digits that cannot be read as one number, such as
    `10 500` or `1,00,000`, fail the answer if they are what `pick` picks. The answer is right when it
    differs from the label by no more than the larger of `abs_tol` and `rel_tol` times the label.

    Args:
        abs_tol: the largest difference, in the label's unit.
        rel_tol: the largest difference, as a share of the label.
        pick: which number of the answer counts; `only` fails answers that give several, and `any`
            passes those that give the right one among others.
        decimal: the decimal mark of the answers.
        percent: `number` reads `12.5 %` as 12.5, `share` as 0.125.
        strip_reasoning: drop `<think>...</think>` and the like from the answer first.
        of: the part of the output.
        expected: the part of the label.
    """

    shorthand: ClassVar[str] = "abs_tol"
    version: ClassVar[int] = 2

    abs_tol: float = 0.0
    rel_tol: float = 0.0
    pick: Literal["first", "last", "only", "any"] = "last"
    decimal: DecimalMark = "."
    percent: PercentReading = "number"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("abs_tol", "rel_tol"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name)!r} is negative.")

    def problem_with_label(self, label: Json) -> str | None:
        """Return why a label does not have exactly one number, or None."""
        readings = list(islice(self._read(label), 2))
        if len(readings) == 1 and readings[0].number is not None:
            return None
        unread = f", and {readings[0].text!r} cannot be read as one" if len(readings) == 1 else ""
        return f"expected is {describe_kind(label)}, but one number is needed{unread}."

    def score(self, case: Case, output: Output) -> Score:
        """Compare the two numbers."""
        answer = self.answer(output)
        if answer in (ABSENT, None):
            return self.score_missing(output)
        readings = self._pick(answer)
        if not readings:
            return failed_score(f"there is no number in {quote_value(answer)}")
        if self.pick == "only" and len({each.number for each in readings}) > 1:
            several = ", ".join(each.text.strip() for each in readings[:5])
            return failed_score(
                f"one number is needed, but the answer has {len(readings)}: {several}"
            )
        # `problem_with_label` ensures that there is exactly one.
        [label] = self._read(self.expected_value(case))
        expected = label.number or Decimal()
        allowed = max(_exact(self.abs_tol), _exact(self.rel_tol) * abs(expected))
        numbers = [each.number for each in readings]
        if any(number is not None and abs(number - expected) <= allowed for number in numbers):
            return PASSED
        tolerance = f" ± {_plain(allowed)}" if allowed else ""
        return failed_score(f"expected {_plain(expected)}{tolerance}, got {_describe(readings[0])}")

    def _pick(self, answer: Json) -> list[Reading]:
        """Return what is read in an answer: one number, or all that count."""
        found = self._read(answer)
        if self.pick == "first":
            return list(islice(found, 1))
        readings = list(islice(found, MAX_NUMBERS + 1))
        if len(readings) > MAX_NUMBERS:
            raise UnscorableAnswer(f"the answer has more than {MAX_NUMBERS:,} numbers")
        return readings[-1:] if self.pick == "last" else readings

    def _read(self, value: Json) -> Iterator[Reading]:
        if isinstance(value, str):
            yield from read_numbers(value, decimal=self.decimal, percent=self.percent)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield Reading(text=repr(value), number=_exact(value))


def _exact(number: float) -> Decimal:
    # The decimal as written, not the nearest binary fraction.
    return Decimal(repr(number))


def _plain(number: Decimal) -> str:
    return f"{number:.12g}"


def _describe(reading: Reading) -> str:
    if reading.number is None:
        return f"{quote_value(reading.text)}, which cannot be read as one number"
    return _plain(reading.number)
