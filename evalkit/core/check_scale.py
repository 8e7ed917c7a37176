"""Express a threshold as values of its metric, so that all thresholds of a unit can share one axis."""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.core.gate_result import Check


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacedCheck:
    """The numbers of a threshold in the unit of its metric, or in cases.

    `low` and `high` bound the 90 % interval of `value`; for a threshold on a change, the interval of the
    change is added to the baseline. `limit` is the least value that is allowed, or with `is_upper` the
    largest. None if unknown.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    baseline: float | None = None
    limit: float | None = None
    is_upper: bool = False

    @property
    def numbers(self) -> tuple[float, ...]:
        """Everything that a plot of the threshold must show."""
        found = (self.value, self.low, self.high, self.baseline, self.limit)
        return tuple(number for number in found if number is not None)


def place_check(check: Check, unit: str) -> PlacedCheck | None:
    """Return the numbers of a threshold on one axis; None if it is on the cases that must pass."""
    rule, value = check.rule, check.candidate
    if rule.must_pass is not None:
        return None
    if not rule.metric:
        most = rule.max_regressed if rule.max_regressed is not None else rule.broken_cases
        return PlacedCheck(value=value, limit=most, is_upper=True)
    bounds = check.display_low, check.display_high
    if rule.max_drop is None and rule.max_rise is None:
        limit = rule.min if rule.min is not None else rule.max
        return PlacedCheck(
            value=value, low=bounds[0], high=bounds[1], limit=limit, is_upper=rule.min is None
        )
    base, is_upper = check.baseline, rule.max_drop is None
    if base is None:
        return PlacedCheck(value=value, is_upper=is_upper)
    # The change of a metric with a unit is a share of the baseline.
    size = abs(base) if unit else 1.0
    low, high = (None if bound is None else base + size * bound for bound in bounds)
    allowed = size * (rule.max_drop if rule.max_drop is not None else rule.max_rise or 0.0)
    if rule.and_at_least is not None:
        allowed = max(allowed, rule.and_at_least)
    limit = base + allowed if is_upper else base - allowed
    return PlacedCheck(
        value=value, low=low, high=high, baseline=base, limit=limit, is_upper=is_upper
    )
