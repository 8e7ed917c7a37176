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
