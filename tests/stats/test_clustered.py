"""Intervals of traffic hold although users are clusters of very different sizes."""

from __future__ import annotations

from math import isinf

import numpy as np
import pytest

from evalkit.stats.clustered import (
    ClusteredEstimate,
    Records,
    compare_estimates,
    correlate,
    estimate_quantile,
    estimate_ratio,
    find_p_value,
    predict_period,
)
from evalkit.stats.distributions import Floats
from tests.support.simulated_traffic import Population, weekday_shares


def _records(users: list[int], values: list[float], sizes: list[float] | None = None) -> Records:
    return Records(
        users=np.array(users),
        strata=np.zeros(len(users), dtype=np.int64),
        values=np.array(values, dtype=float),
        sizes=np.ones(len(users)) if sizes is None else np.array(sizes, dtype=float),
        user_count=max(users) + 1,
    )


def _every(count: int, value: float) -> Records:
    return _records(list(range(count)), [value] * count)


def test_the_variance_of_a_ratio_is_that_of_users() -> None:
    # Deng et al. 2018: U/(U-1) sum (Y - rN)^2 / (sum N)^2, with Y = 2, 0, 3 and N = 2, 1, 5.
    records = _records([0, 0, 1, 2], [1, 1, 0, 3], [1, 1, 1, 5])
    estimate = estimate_ratio(records, is_share=False)
    assert estimate is not None
    assert estimate.value == pytest.approx(5 / 8)
    deviations = np.array([2 - 5 / 8 * 2, 0 - 5 / 8, 3 - 5 / 8 * 5])
    assert estimate.standard_error**2 == pytest.approx(1.5 * np.sum(deviations**2) / 64)
    assert estimate.effective_users == pytest.approx(64 / 30)
    assert estimate.users == 3


def test_no_failure_among_few_users_proves_little() -> None:
    """A rate without any failure has an interval, whose size depends on users, not on records."""
    few = estimate_ratio(_records([0, 1, 2] * 1000, [0.0] * 3000), is_share=True)
    many = estimate_ratio(_every(3000, 0.0), is_share=True)
    assert few is not None
    assert many is not None
    assert few.bounds(0.05).high > 0.6
    # The rule of three: log(.05) / 3000.
    assert many.bounds(0.05).high == pytest.approx(0.001, rel=0.01)
    single = estimate_ratio(_records([0] * 500, [0.0] * 500), is_share=True)
    assert single is not None
    assert single.bounds(0.05) == (0.0, 1.0)


def test_nothing_is_estimated_without_records() -> None:
    empty = _records([0, 1], [0.0, 0.0], [0.0, 0.0])
    assert estimate_ratio(empty, is_share=True) is None
    assert estimate_quantile(empty, 0.5) is None
    # A stratum with a weight and without records cannot be left out silently.
    assert estimate_ratio(_every(9, 1.0), np.array([0.5, 0.5]), is_share=True) is None


@pytest.mark.parametrize(("level", "least"), [(0.5, 20), (0.95, 200), (0.99, 1000)])
def test_a_quantile_needs_users_beyond_it(level: float, least: int) -> None:
    def bounds(count: int) -> tuple[float, float]:
        records = _records(list(range(count)), [float(value) for value in range(count)])
        estimate = estimate_quantile(records, level)
        assert estimate is not None
        return estimate.bounds(0.05)

    assert all(map(isinf, bounds(least - 2)))
    low, high = bounds(2 * least)
    assert low < level * 2 * least < high


def test_strata_compare_periods_with_other_mixes() -> None:
    """The same rates on each weekday are no change, although one period has more weekends."""
    rates = np.array([0.1, 0.5])

    def period(counts: list[int]) -> Records:
        strata = np.repeat([0, 1], counts)
        values = np.concatenate([np.arange(n) < rate * n for n, rate in zip(counts, rates)])  # noqa: B905
        return Records(
            users=np.arange(strata.size),
            strata=strata,
            values=values.astype(float),
            sizes=np.ones(strata.size),
            user_count=2000,
        )

    weekends, weekdays = period([200, 800]), period([800, 200])
    weights = np.array([0.2, 0.8])
    raw = [estimate_ratio(each, is_share=True) for each in (weekends, weekdays)]
    weighted = [estimate_ratio(each, weights, is_share=True) for each in (weekends, weekdays)]
    assert raw[0] is not None
    assert raw[1] is not None
    assert raw[0].value - raw[1].value == pytest.approx(0.24)
    assert weighted[0] is not None
    assert weighted[1] is not None
    assert weighted[0].value == pytest.approx(weighted[1].value)


def test_the_same_users_on_both_sides_narrow_the_interval() -> None:
    rng = np.random.default_rng(3)
    before = rng.random(400) < 0.3
    after = before ^ (rng.random(400) < 0.02)
    pair = [estimate_ratio(_records([*range(400)], [*map(float, each)]), is_share=True) for each in (before, after)]  # fmt: skip
    base, candidate = pair
    assert base is not None
    assert candidate is not None
    assert correlate(candidate, base) > 0.9
    low, high = compare_estimates(candidate, base, 0.05)
    assert high - low < 0.4 * (base.bounds(0.05).high - base.bounds(0.05).low)


def test_earlier_weeks_show_how_much_weeks_differ() -> None:
    earlier = np.array([0.10, 0.14, 0.12, 0.12])
    low, high = predict_period(0.15, earlier, 0.05)
    # t(.95, 3) = 2.353 and the deviation is .01633, times the square root of 1 + 1/4.
    assert high - 0.03 == pytest.approx(2.3534 * 0.016330 * 1.118034, rel=1e-3)
    assert low < 0 < high
    # A share cannot be below 0 or above 1, however little is known.
    share = predict_period(0.5, np.array([0.1, 0.9]), 0.05, is_share=True)
    assert share == pytest.approx((-0.5, 0.5), abs=0.001)
    assert predict_period(0.0, np.array([0.0, 0.0]), 0.05, is_share=True) == (0.0, 0.0)


def test_the_p_value_is_where_the_interval_ends() -> None:
    assert find_p_value(lambda alpha: alpha > 0.031) == pytest.approx(0.031, rel=0.01)
    assert find_p_value(lambda _: False) == 1.0
    assert find_p_value(lambda _: True) <= 1e-6


@pytest.mark.parametrize("kind", ["rate", "mean", "p95"])
def test_an_unchanged_agent_seldom_seems_worse(kind: str) -> None:
    """Clustered users, the half of them in both weeks, and a pattern of weekdays.

    `tests/bench/traffic_gate_calibration.py` measures this with more draws and in more worlds.
    """
    rng = np.random.default_rng(17)
    alarms, draws = 0, 100
    for _ in range(draws):
        population = Population.draw(rng, users=500, rate=0.1)
        before = population.draw_week(rng, kind, active=0.75)
        after = population.draw_week(rng, kind, active=0.75, shifted=True)
        weights = weekday_shares(after)
        base, candidate = (_estimate(each, kind, weights) for each in (before, after))
        alarms += compare_estimates(candidate, base, 0.05, is_log=kind != "rate").low > 0
    # With 5 % false alarms, more than 11 of 100 have a probability of .004.
    assert alarms <= 11


def _estimate(records: Records, kind: str, weights: Floats) -> ClusteredEstimate:
    if kind == "p95":
        found = estimate_quantile(records, 0.95, weights)
    else:
        found = estimate_ratio(records, weights, is_share=kind == "rate")
    assert found is not None
    return found
