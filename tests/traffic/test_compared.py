"""Comparisons of periods of traffic: how seldom they find what is not there, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from evalkit.core.errors import Undecidable
from evalkit.traffic.compared import Statistic, UserDays, compare_periods, require_users
from tests.bench.traffic_gate_calibration import World, count_failed_gates, measure_world

SHARE = Statistic(is_share=True)


@pytest.mark.parametrize(
    "world",
    [
        World(kind="rate", users=300, shifted=True),
        World(kind="rate", users=300, weeks=4, noise=0.3),
        World(kind="mean", users=300, weeks=3, noise=0.3),
    ],
    ids=["weekdays", "noisy weeks", "noisy values"],
)
def test_at_most_five_percent_of_unchanged_weeks_raise_an_alarm(world: World) -> None:
    counts = measure_world(world, draws=60, seed=5)
    assert counts.too_few == 0
    # With 5 % false alarms, more than 8 of 60 have a probability of .004.
    assert counts.worse <= 8
    assert counts.better <= 8
    # The z test of requests is what this replaces.
    assert counts.by_requests > counts.worse


def test_more_thresholds_raise_no_more_alarms() -> None:
    # With 5 % false alarms of the whole gate, more than 5 of 25 have a probability of .001.
    assert count_failed_gates(25) <= 5


def _sides(users: int, requests: int, *, start: int = 1, days: int = 7) -> UserDays:
    rows = users * requests
    return UserDays(
        users=np.repeat(np.arange(users, dtype=np.uint64), requests),
        days=start + np.arange(rows) % days,
        values=np.zeros(rows),
        sizes=np.ones(rows),
    )


def test_too_little_data_is_refused_with_what_is_missing() -> None:
    with pytest.raises(Undecidable, match="12 users in now, and at least 30 are needed"):
        require_users(_sides(12, 100), SHARE, "now")
    with pytest.raises(
        Undecidable, match="500 users in now, and at least 1,000 are needed for p99"
    ):
        require_users(_sides(500, 2), Statistic(is_share=False, level=0.99), "now")
    heavy = _sides(100, 1)
    heavy = heavy._replace(sizes=np.where(heavy.users == 3, 5000.0, 1.0))
    with pytest.raises(Undecidable, match="98% of the requests in now are from one user"):
        require_users(heavy, SHARE, "now")
    unknown = _sides(100, 1)._replace(sizes=np.zeros(100))
    with pytest.raises(Undecidable, match="unknown for every request"):
        require_users(unknown, SHARE, "now")


def test_weekdays_are_weighted_only_if_each_has_enough_users() -> None:
    now, before = _sides(400, 7, start=8), _sides(400, 7)
    assert compare_periods(now, [before], SHARE, is_concurrent=False).strata == "weekday"
    few = _sides(70, 1)
    assert (
        compare_periods(_sides(70, 1, start=8), [few], SHARE, is_concurrent=False).strata == "none"
    )
    same_days = compare_periods(now, [_sides(400, 7, start=8)], SHARE, is_concurrent=True)
    assert same_days.strata == "day"
    assert same_days.shared_users == 400
