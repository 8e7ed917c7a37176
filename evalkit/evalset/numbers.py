"""Read rates, and say why a number is out of bounds."""

from __future__ import annotations

import math
import re

from evalkit.evalset.value_types import RATE_PATTERN, Number

_UNITS_S = {"s": 1.0, "min": 60.0, "h": 3600.0}


def parse_rate(text: str) -> float | None:
    """Return a rate as calls per second; None if the text is not a rate above 0.

    >>> parse_rate("60/min")
    1.0
    """
    found = re.fullmatch(RATE_PATTERN, text)
    count = float(found[1]) if found else 0.0
    return count / _UNITS_S[found[2]] if found and 0 < count < math.inf else None


_COMPARISON = r"(?:[<>]=?|=|≥|≤)?\s*"
_NUMBER = r"(?P<number>[+-]?(?:\d{1,3}(?:,\d{3})+|\d*)(?:\.\d+)?)"
_FACTORS = {
    "": 1.0,
    "%": 0.01,
    "percent": 0.01,
    "pt": 0.01,
    "pts": 0.01,
    "pp": 0.01,
    "point": 0.01,
    "points": 0.01,
    "ms": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "seconds": 1.0,
    "min": 60.0,
    "minutes": 60.0,
    "h": 3600.0,
    "usd": 1.0,
    "$": 1.0,
    "x": 1.0,
}
"""The units that people write after a number, and what they multiply it by."""


def convert_number(text: str) -> float | None:
    """Return the number that a text with a unit, a comparison, or a decimal comma means; None if unclear.

    >>> convert_number("80%")
    0.8
    """
    bare = text.strip().casefold().removeprefix("$")
    decimal_comma = re.fullmatch(r"(\d+),(\d{1,2})(\D*)", bare)
    if decimal_comma:
        bare = f"{decimal_comma[1]}.{decimal_comma[2]}{decimal_comma[3]}"
    found = re.fullmatch(rf"{_COMPARISON}{_NUMBER}\s*(?P<unit>[a-z%$]*)", bare)
    if found is None or not found["number"].strip("+-") or found["unit"] not in _FACTORS:
        return None
    return float(found["number"].replace(",", "")) * _FACTORS[found["unit"]]


def suggest_number(text: str) -> str:
    """Return the sentence that writes such a number as YAML does; empty if unclear."""
    value = convert_number(text)
    return "" if value is None else f" Write {value:.10g}."


def find_bound_problem(value: float, text: str, bounds: Number) -> str:
    """Return why a number is out of bounds; empty if it is not."""
    if bounds.above is not None and value <= bounds.above:
        found = f"must be more than {bounds.above:g}"
    elif bounds.at_least is not None and value < bounds.at_least:
        found = f"must be {bounds.at_least:g} or more"
    elif bounds.at_most is not None and value > bounds.at_most:
        found = f"must be at most {bounds.at_most:g}"
    elif bounds.below is not None and value >= bounds.below:
        found = f"must be less than {bounds.below:g}"
    else:
        return ""
    return f"{found}, not {text}. {bounds.advice}".rstrip()


def find_share_problem(value: float, text: str) -> str:
    """Return why a number is not a share in 0..1; empty if it is one."""
    if 0 <= value <= 1:
        return ""
    if value < 0:
        return f"must be 0 or more, not {text}."
    advice = f"For {value:g} percent write {value / 100:g}" if value <= 100 else "Write 0.7"
    return f"is a share in 0..1, not {value:g}. {advice}."
