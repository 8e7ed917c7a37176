"""Numbers of thresholds and metrics into cells of tables, none of which reads as a limit it is not."""

from __future__ import annotations

from collections.abc import Iterable

from evalkit.core import format as spelling
from evalkit.core.eval_set import Rule
from evalkit.core.format import find_distinct_digits, format_bound, format_limit
from evalkit.core.gate_result import Check

NO_VALUE = "-"


def value_cell(value: float | None, unit: str, *, beside: Iterable[float] = ()) -> str:
    """A metric's value in its unit; a share as percent, which reads 0 or 100 only when it is.

    >>> value_text(0.8996, "", beside=[0.9]), value_text(0.9999, ""), value_text(1.3081, "s")
    ('89.96%', '99.99%', '1.31 s')
    """
    if value is None:
        return NO_VALUE
    limits = beside if unit else (0.0, 1.0, *beside)
    extra = find_distinct_digits(
        [(value, limit) for limit in limits],
        lambda number, digits: spelling.format_value(number, unit, digits),
    )
    return spelling.format_value(value, unit, extra)


def change_cell(change: float | None, unit: str, *, beside: Iterable[float] = ()) -> str:
    """A signed change: in points of a share, or in percent of what a metric with a unit was.

    >>> change_text(-0.054, ""), change_text(0.0919, "s")
    ('-5.4 pt', '+9.2%')
    """
    if change is None:
        return NO_VALUE
    extra = find_distinct_digits(
        [(change, limit) for limit in beside],
        lambda number, digits: spelling.format_change(number, unit, digits),
    )
    return spelling.format_change(change, unit, extra)


def limit_cell(rule: Rule, unit: str) -> str:
    """A threshold's limit as it was written."""
    if rule.max_regressed is not None:
        return f"max {rule.max_regressed:,}"
    if rule.broken_cases is not None:
        return f"max {rule.broken_cases:,}"
    if rule.must_pass is not None:
        return "every trial"
    for word, bound in (("min", rule.min), ("max", rule.max)):
        if bound is not None:
            return f"{word} {format_bound(bound, unit)}"
    for word, change in (("drop", rule.max_drop), ("rise", rule.max_rise)):
        if change is not None:
            return f"max {word} {format_limit(change, unit)}"
    return NO_VALUE


def check_cells(check: Check, unit: str) -> tuple[str, str, str]:
    """Baseline, this run and change of a decided threshold."""
    rule = check.rule
    if not rule.metric:
        counted = NO_VALUE if check.candidate is None else f"{check.candidate:,.0f}"
        return NO_VALUE, f"{counted} of {check.cases:,}", NO_VALUE
    bounds = [bound for bound in (rule.min, rule.max) if bound is not None]
    baseline = value_cell(check.baseline, unit, beside=bounds)
    candidate = value_cell(check.candidate, unit, beside=bounds)
    signed = ((rule.max_drop, -1), (rule.max_rise, 1))
    limits = [sign * limit for limit, sign in signed if limit is not None]
    return baseline, candidate, change_cell(check.difference, unit, beside=limits)
