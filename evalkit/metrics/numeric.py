"""Score answers by the number they state: numeric."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import ClassVar, Literal

from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.trial import Output, Score
from evalkit.core.values import ABSENT, describe_kind, quote_value
from evalkit.metrics.builtin import PASSED, AnswerMetric, failed_score

MAX_NUMBER_DIGITS = 308
"""Digits before the decimal point, as in the largest float; no real answer has more."""

# What may separate groups of three digits: comma or point, apostrophes, and the no-break, narrow
# no-break and thin spaces. A plain space may only where the comma is the decimal mark.
_GROUPING = {".": ",'’\u00a0\u202f\u2009", ",": ".'’\u00a0\u202f\u2009 "}


@cache
def _number_pattern(decimal: Literal[".", ","]) -> re.Pattern[str]:
    point = re.escape(decimal)
    return re.compile(
        rf"""
        (?<!\w) (?<!\d{point}) (?<![^\W\d_][-−])  # not inside a word, a version, a code like A-12
        (?P<sign>[-+−])? [$€£¥]?
        (?=\d|{point}\d)
        (?P<whole> \d{{1,3}} (?P<sep>[{_GROUPING[decimal]}]) \d{{3}} (?:(?P=sep)\d{{3}})* (?!\d)
                 | \d* )
        (?:{point}(?P<fraction>\d+))?
        (?P<exponent>[eE][-+]?\d+)?
        (?P<percent>\s?(?:%|per\s?cent\b))?
        """,
        re.VERBOSE,
    )


def find_numbers(
    text: str, *, decimal: Literal[".", ","] = ".", percent: Literal["number", "share"] = "number"
) -> Iterator[Decimal]:
    """Yield every number in a text, in order.

    A sign and a currency may precede it; thousands may be grouped by comma, apostrophe or a
    no-break or thin space; an exponent may follow. Digits inside a word (`B12`) or a code (`A-12`)
    do not count. With `decimal=","` comma and point change places, and a plain space groups too.
    `12.5 %` is 12.5, or 0.125 with `percent="share"`.

    >>> [str(number) for number in find_numbers("-1,234.50 of B12, in 2024")]
    ['-1234.50', '2024']
    """
    for match in _number_pattern(decimal).finditer(text):
        whole = match["whole"].replace(match["sep"], "") if match["sep"] else match["whole"]
        sign = "-" if match["sign"] in ("-", "−") else ""
        fraction = f".{match['fraction']}" if match["fraction"] else ""
        try:
            number = Decimal(f"{sign}{whole or 0}{fraction}{match['exponent'] or ''}")
        except InvalidOperation:  # an exponent beyond what Decimal holds
            continue
        if number.adjusted() <= MAX_NUMBER_DIGITS:
            yield number / 100 if percent == "share" and match["percent"] else number


@dataclass(frozen=True, kw_only=True)
class Numeric(AnswerMetric):
    """Passes an answer whose number equals the label's, within `abs_tol` and `rel_tol`.

    The label is a number, or a text with one number in it. A number in the output's data is used as
    it is; in a text, `find_numbers` looks for it. The answer is right when it differs from the label
    by no more than the larger of `abs_tol` and `rel_tol` times the label.

    Args:
        abs_tol: the largest difference, in the label's unit.
        rel_tol: the largest difference, as a share of the label.
        pick: which number of the answer counts; `only` fails answers that give several.
        decimal: the decimal mark of the answers.
        percent: `number` reads `12.5 %` as 12.5, `share` as 0.125.
        of: the part of the output.
        expected: the part of the label.
    """

    shorthand: ClassVar[str] = "abs_tol"

    abs_tol: float = 0.0
    rel_tol: float = 0.0
    pick: Literal["first", "last", "only"] = "last"
    decimal: Literal[".", ","] = "."
    percent: Literal["number", "share"] = "number"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("abs_tol", "rel_tol"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name)!r} is negative.")

    def problem_with_label(self, label: Json) -> str | None:
        """Return why a label does not have exactly one number, or None."""
        if len(self._numbers_in(label)) == 1:
            return None
        return f"expected is {describe_kind(label)}, but one number is needed."

    def score(self, case: Case, output: Output) -> Score:
        """Compare the two numbers."""
        answer = self.answer(output)
        if answer in (ABSENT, None):
            return self.score_missing(output)
        numbers = self._numbers_in(answer)
        if not numbers:
            return failed_score(f"there is no number in {quote_value(answer)}")
        if self.pick == "only" and len(set(numbers)) > 1:
            several = ", ".join(_plain(number) for number in numbers[:5])
            return failed_score(
                f"one number is needed, but the answer has {len(numbers)}: {several}"
            )
        actual = numbers[0] if self.pick == "first" else numbers[-1]
        # `problem_with_label` ensures that there is exactly one.
        [expected] = self._numbers_in(self.expected_value(case))
        allowed = max(_exact(self.abs_tol), _exact(self.rel_tol) * abs(expected))
        if abs(actual - expected) <= allowed:
            return PASSED
        tolerance = f" ± {_plain(allowed)}" if allowed else ""
        return failed_score(f"expected {_plain(expected)}{tolerance}, got {_plain(actual)}")

    def _numbers_in(self, value: Json) -> list[Decimal]:
        if isinstance(value, str):
            return list(find_numbers(value, decimal=self.decimal, percent=self.percent))
        if isinstance(value, int | float) and not isinstance(value, bool):
            return [_exact(value)]
        return []


def _exact(number: float) -> Decimal:
    # The decimal as written, not the nearest binary fraction.
    return Decimal(repr(number))


def _plain(number: Decimal) -> str:
    return f"{number:.12g}"
