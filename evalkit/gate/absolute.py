"""One run's values of a metric into the number an absolute limit is about, and its interval."""

from __future__ import annotations

from math import ceil, inf, isfinite

from evalkit.compare.estimates import (
    _MAX_CASES,
    _ROUNDING,
    QUANTILE_LEVELS,
    MetricEstimate,
)
from evalkit.core.eval_set import Rule
from evalkit.core.literals import Outcome
from evalkit.stats.intervals import (
    trials_for_bounds,
)


def decide_absolute(rule: Rule, reading: MetricEstimate) -> Outcome:
    """Fail when the whole interval is beyond the limit, pass when all of it is within.

    With `test: point` the plain number decides.
    """
    low, high = reading.interval
    if rule.test == "point":
        low = high = reading.value
    if rule.min is not None:
        allowance = _ROUNDING * max(1.0, abs(rule.min))
        within, beyond = low >= rule.min - allowance, high < rule.min - allowance
    else:
        limit = rule.max if rule.max is not None else inf
        allowance = _ROUNDING * max(1.0, abs(limit))
        within, beyond = high <= limit + allowance, low > limit + allowance
    if beyond:
        return "fail"
    return "pass" if within else "inconclusive"


def estimate_cases_for_limit(rule: Rule, reading: MetricEstimate) -> int | None:
    """About how many cases would put the whole interval on one side, if the value stays as it is.

    The width falls with the square root of the number of cases. None when it would take too many.
    """
    limit = rule.min if rule.min is not None else rule.max
    if limit is None or reading.value == limit:
        return None
    reach = reading.interval.high if reading.value < limit else reading.interval.low
    if isfinite(reach):
        needed = ceil(reading.cases * ((reach - reading.value) / (limit - reading.value)) ** 2)
    elif rule.stat in QUANTILE_LEVELS:
        needed = trials_for_bounds(QUANTILE_LEVELS[rule.stat], rule.alpha)
    else:
        return None
    return needed if reading.cases < needed <= _MAX_CASES else None
