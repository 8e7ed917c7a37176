"""Format numbers for people: rates as percent, odds as "1 time in 20", durations as "12 min 34 s"."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import ceil, floor, isclose, isfinite, log10

from evalkit.core.eval_set import Rule

_MAX_EXTRA_DIGITS = 6


def format_count(number: int, noun: str) -> str:
    """Format a count with its noun in singular or plural."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def name_rule(rule: Rule) -> str:
    """Return the name of a threshold: the metric, its statistic, and its tag."""
    if rule.must_pass is not None:
        return f"must pass [{', '.join(rule.must_pass)}]" if rule.must_pass else "must pass"
    name = rule.metric if rule.stat == "mean" else f"{rule.metric} {rule.stat}"
    if rule.max_regressed is not None:
        name = "regressed cases"
    if rule.broken_cases is not None:
        name = "broken cases"
    return name if rule.tag is None else f"{name} [{rule.tag}]"


def format_value(value: float, unit: str, extra: int = 0) -> str:
    """Format a value with its unit to three digits, or a share as percent; `extra` adds digits."""
    if not unit:
        return f"{100 * value:.{1 + extra}f}%"
    decimals = extra
    if value:
        decimals += min(max(2 - floor(log10(abs(value))), 0), 6)
    return f"${value:,.{max(decimals, 2)}f}" if unit == "usd" else f"{value:,.{decimals}f} {unit}"


def format_change(change: float, unit: str, extra: int = 0) -> str:
    """Format a signed change in points, or in percent of a baseline; a rounded 0 has no sign."""
    number = f"{100 * change:+,.{1 + extra}f}"
    # "-0.0 pt" would claim a direction.
    if not number.strip("+-0.,"):
        number = number.lstrip("+-")
    return f"{number}{'%' if unit else ' pt'}"


def format_limit(limit: float, unit: str) -> str:
    """Format a limit on a change with the digits that the user wrote."""
    return f"{100 * limit:.10g}{'%' if unit else ' pt'}"


def format_bound(bound: float, unit: str) -> str:
    """Format a limit on a value with the digits that the user wrote."""
    if not unit:
        return f"{100 * bound:.10g}%"
    return f"${bound:.10g}" if unit == "usd" else f"{bound:.10g} {unit}"


def format_share(chance: float) -> str:
    """Return a chance in whole percent, rounded down so that 79.9% does not read as 80%.

    >>> format_share(0.799), format_share(1.0)
    ('79%', '99%')
    """
    # A chance of 1 is never certain: it rests on a model of the agent.
    return f"{min(max(int(100 * chance + 1e-9), 0), 99)}%"


def format_odds(chance: float, alpha: float) -> str:
    """Format a probability as odds, rounded so that it remains on the same side of `alpha`.

    >>> format_odds(0.0025, 0.05), format_odds(0.0502, 0.05)
    ('about 1 time in 400', 'about 1 time in 19')
    """
    if chance < 1e-6:
        return "less than 1 time in a million"
    # "1 time in 2" is easily misread, so large probabilities have words.
    if chance > 0.4:
        return "about every other time" if chance < 0.6 else "more often than not"
    times = 1 / chance
    rounded = round(times, -max(floor(log10(times)) - 1, 0))
    # The slack absorbs the rounding error of 1 / alpha: 1 / 0.05 must not become 21.
    least_below = ceil(1 / alpha - 1e-9)
    rounded = max(rounded, least_below) if chance <= alpha else min(rounded, least_below - 1)
    return f"about 1 time in {rounded:,.0f}"


def format_duration(seconds: float) -> str:
    """Format a duration that was measured.

    >>> format_duration(0.4), format_duration(56.4), format_duration(754.0), format_duration(7380.0)
    ('0.4 s', '56 s', '12 min 34 s', '2 h 3 min')
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def format_estimated_time(seconds: float) -> str:
    """Format a duration in one unit, with the digits that an estimate deserves.

    >>> format_estimated_time(8.2), format_estimated_time(200), format_estimated_time(7500)
    ('8 s', '3 min', '2.1 h')
    """
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"


def format_missing(missing: Mapping[str, int]) -> str:
    """Format the reasons why trials have no value: `4 agent errors, 1 not run`."""
    parts = []
    for state, count in missing.items():
        words = state.replace("_", " ")
        if count:
            is_noun = state.endswith("_error")
            parts.append(format_count(count, words) if is_noun else f"{count:,} {words}")
    return ", ".join(parts)


def find_distinct_digits(
    pairs: Iterable[tuple[float, float]], format_number: Callable[[float, int], str]
) -> int:
    """Return the fewest extra digits that show a difference in every pair of unequal numbers.

    Numbers that differ only by the rounding of floats are equal.
    """
    finite = [(a, b) for a, b in pairs if isfinite(a) and isfinite(b)]
    unequal = [(a, b) for a, b in finite if not isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)]
    for extra in range(_MAX_EXTRA_DIGITS):
        if all(format_number(a, extra) != format_number(b, extra) for a, b in unequal):
            return extra
    return _MAX_EXTRA_DIGITS
