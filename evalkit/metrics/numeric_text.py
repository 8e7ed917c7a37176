"""Find the numbers in a text, and the digits that cannot be read as one number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Literal, TypeAlias

DecimalMark: TypeAlias = Literal[".", ","]
PercentReading: TypeAlias = Literal["number", "share"]

MAX_EXPONENT = 308
"""The largest power of ten of a number, as in the largest float; no real answer has more."""

MAX_NUMBER_CHARS = 1_000
"""Characters of one number; longer digits are not read."""

_SIGNS = "-+−–—‐‑‒﹣－＋"
_MINUS_SIGNS = frozenset(_SIGNS) - {"+", "＋"}
_CURRENCY = "$€£¥₹₩₽₺₴₦฿¢"
# The no-break, figure, thin, narrow no-break and other spaces of a fixed width.
_SPACES = "\u00a0\u2002-\u200a\u202f"
_MARKS = f".,'’´_٫٬˙{_SPACES}"
_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-", strict=True))
_SUPERSCRIPT = "⁰¹²³⁴-⁹⁺⁻"

# HTML and LaTeX that writes a space or a mark inside of a number.
_MARKUP = re.compile(
    r"(?P<space> &(?:nbsp|thinsp|ensp|\#0*160|\#0*8239|\#0*8201|\#x0*a0|\#x0*202f|\#x0*2009); | \\[,;:! ](?=\d)"
    r" | (?<=\d)~(?=\d) )"
    r"| \{(?P<mark>[.,])\} | (?P<times> \\times(?![a-z]) | \\cdot(?![a-z]) )"
    r"| (?P<emphasis> (?<![^\W_])[*_]{1,6}(?=[-+−–]?[$€£¥]?[.,]?\d) | (?<=[\d.,%])[*_]{1,6}(?![^\W_]) )",
    re.VERBOSE | re.IGNORECASE,
)
_MARKUP_SIGNS = frozenset("&\\{~*_")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """Digits of a text and the number that they state; None if they cannot be read as one number."""

    text: str
    number: Decimal | None


@cache
def _digits_pattern(decimal: DecimalMark) -> re.Pattern[str]:
    # The comma groups digits by a plain space as well where it is the decimal mark. Elsewhere, groups
    # with a plain space belong together, but what they say is not known.
    return re.compile(
        rf"""
        (?<!\w) (?<!\d[{_MARKS}]) (?<![^\W\d_][-−‐‑])  # not inside a word, a version, a code (A-12)
        (?P<sign>[{_SIGNS}])? [{_CURRENCY}]?
        (?P<digits> 0[xXbBoO][0-9a-fA-F]++
                  | (?: (?<![.,])[{"." if decimal == "." else ".,"}](?=\d) )?
                    (?: \d{{1,3}}(?:[ ]\d{{3}}(?!\d))++ | \d++ )
                    (?: [{_MARKS}]\d++ )*+ )
        (?: [eE](?P<exponent>[-+−]?\d++)
          | \s?[×xX·⋅*]\s?10\s?(?:\^|\*\*)\s?[{{(]?(?P<power>[-+−]?\d++)[)}}]?
          | \s?[×xX·⋅*]\s?10(?P<raised>[{_SUPERSCRIPT}]++)
          | (?P<other> \s?(?:\^|\*\*)\s?[{{(]?[-+−]?\w | [{_SUPERSCRIPT}¼-¾⅐-⅞] ) )?+
        (?P<percent>\s?(?:[%％﹪]|\\%|per\s?cent\b))?
        """,
        re.VERBOSE,
    )


def read_numbers(
    text: str, *, decimal: DecimalMark = ".", percent: PercentReading = "number"
) -> Iterator[Reading]:
    """Yield everything in a text that looks like a number, in order.

    A sign of any kind and a currency may precede it. Thousands may be grouped by a comma, an apostrophe,
    an underscore or a space that does not break, each in the same way; an exponent (`1.5e3`,
    `1.5 × 10³`) may follow. Emphasis, HTML and LaTeX around digits are ignored. Digits inside a word
    (`B12`) or a code (`A-12`) do not count. With `decimal=","` comma and point change places, and a
    plain space groups too. `12.5 %` is 12.5, or 0.125 with `percent="share"`.

    Digits that are grouped in another way (`1,00,000`, `10 500`, `0,5`, `1.2.3`), hexadecimal numbers,
    powers and mixed fractions (`2½`) cannot be read. What is before and after `-`, `/` and `:` are two
    numbers.
    """
    if not _MARKUP_SIGNS.isdisjoint(text):
        text = _MARKUP.sub(_replace_markup, text)
    for match in _digits_pattern(decimal).finditer(text):
        yield Reading(text=match[0], number=_read(match, decimal, percent))


def find_numbers(
    text: str, *, decimal: DecimalMark = ".", percent: PercentReading = "number"
) -> Iterator[Decimal]:
    """Yield every number in a text that can be read, in order.

    >>> [str(number) for number in find_numbers("-1,234.50 of B12, in 2024, or 1,00")]
    ['-1234.50', '2024']
    """
    for reading in read_numbers(text, decimal=decimal, percent=percent):
        if reading.number is not None:
            yield reading.number


def _replace_markup(match: re.Match[str]) -> str:
    if match["space"]:
        return "\u00a0"
    return "×" if match["times"] else match["mark"] or ""


def _read(match: re.Match[str], decimal: DecimalMark, percent: PercentReading) -> Decimal | None:
    digits = _read_digits(match["digits"], decimal)
    if digits is None or match["other"] or len(match[0]) > MAX_NUMBER_CHARS:
        return None
    raised = "".join(_SUPERSCRIPTS[char] for char in match["raised"] or "")
    power = (match["exponent"] or match["power"] or raised or "0").replace("−", "-")
    if len(power) > 5 or not power[-1].isdecimal() or not power.lstrip("+-").isdecimal():
        return None
    shift = 2 if percent == "share" and match["percent"] else 0
    sign = "-" if match["sign"] in _MINUS_SIGNS else ""
    number = Decimal(f"{sign}{digits}e{int(power) - shift}")
    return number if not number or abs(number.adjusted()) <= MAX_EXPONENT else None


@cache
def _plain_digits(decimal: DecimalMark) -> re.Pattern[str]:
    other = "," if decimal == "." else r"."
    point = r"[.٫]" if decimal == "." else "[,٫]"
    space = " " if decimal == "," else ""
    return re.compile(
        rf"""(?P<whole> (?![0０٠۰])\d{{1,3}} (?P<mark>[{other}'’´_٬˙{_SPACES}{space}]) \d{{3}}
                        (?:(?P=mark)\d{{3}})*
                      | \d* )
             (?:{point}(?P<fraction>\d+))?""",
        re.VERBOSE,
    )


def _read_digits(text: str, decimal: DecimalMark) -> str | None:
    """Return digits without grouping and with a point; None if the grouping is none."""
    match = _plain_digits(decimal).fullmatch(text)
    if match is None:
        return None
    whole = match["whole"].replace(match["mark"], "") if match["mark"] else match["whole"]
    return f"{whole or 0}.{match['fraction'] or 0}" if match["fraction"] else whole
