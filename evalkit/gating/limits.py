"""One run's values of a metric into the number an absolute limit is about, and its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import ceil, inf, isfinite

import numpy as np

from evalkit.gating.scale import LEVELS, Rows, statistic_of
from evalkit.records import Outcome, Rule
from evalkit.samples import CaseScores, mean
from evalkit.statistics.intervals import (
    Interval,
    effective_trials,
    mean_interval,
    quantile_interval,
    trials_for_bounds,
    wilson_interval,
)
from evalkit.summary import sum_missing

_ROUNDING = 1e-9
_MOST_CASES = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a run says of a rule with `min` or `max`.

    `interval` holds the expected value over cases like these, missed on either side with probability
    at most alpha. `due` trials should have a value, `scored` have one, `missing` says why not.
    """

    unit: str
    value: float
    interval: Interval
    cases: int
    scored: int
    due: int
    missing: Mapping[str, int]


def read_value(rule: Rule, unit: str, cases: Sequence[CaseScores]) -> Reading:
    """The statistic of a rule over these cases, of which at least one has a value."""
    rows = [case.flags if rule.stat == "rate" else case.values for case in cases]
    rows = [row for row in rows if row]
    return Reading(
        unit="" if rule.stat == "rate" else unit,
        value=statistic_of(rule)(rows),
        interval=_interval(rule, unit, rows),
        cases=len(rows),
        scored=sum(map(len, rows)),
        due=sum(case.due for case in cases),
        missing=sum_missing(cases),
    )


def _interval(rule: Rule, unit: str, rows: Rows) -> Interval:
    if rule.stat in LEVELS:
        return quantile_interval(rows, LEVELS[rule.stat], rule.alpha)
    values = list(chain(*rows))
    if rule.stat == "rate" or (not unit and all(value in (0.0, 1.0) for value in values)):
        return wilson_interval(statistic_of(rule)(rows), effective_trials(rows), rule.alpha)
    bounds = mean_interval(np.array([mean(row) for row in rows]), rule.alpha)
    if len(rows) > 1 and not unit and min(values) >= 0.0 and max(values) <= 1.0:
        return Interval(max(bounds.low, 0.0), min(bounds.high, 1.0))
    return bounds


def judge_reading(rule: Rule, reading: Reading) -> Outcome:
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


def cases_to_decide(rule: Rule, reading: Reading) -> int | None:
    """About how many cases would put the whole interval on one side, if the value stays as it is.

    The width falls with the square root of the number of cases. None when it would take too many.
    """
    limit = rule.min if rule.min is not None else rule.max
    if limit is None or reading.value == limit:
        return None
    reach = reading.interval.high if reading.value < limit else reading.interval.low
    if isfinite(reach):
        needed = ceil(reading.cases * ((reach - reading.value) / (limit - reading.value)) ** 2)
    elif rule.stat in LEVELS:
        needed = trials_for_bounds(LEVELS[rule.stat], rule.alpha)
    else:
        return None
    return needed if reading.cases < needed <= _MOST_CASES else None
