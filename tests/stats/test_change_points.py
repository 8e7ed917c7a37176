"""Changes of level: found where they are, and seldom where nothing changed."""

from __future__ import annotations

import numpy as np
import pytest

from evalkit.stats.change_points import find_change_points

DAYS = 56
REQUESTS = 600


def draw(rng: np.random.Generator, *, dip: float, shift: float) -> list[int]:
    """Draw eight weeks of a rate that is lower on weekends and shifts in the middle; search it."""
    rates = np.full(DAYS, 0.85)
    rates[np.arange(DAYS) % 7 >= 5] -= dip
    rates[DAYS // 2 :] += shift
    found = rng.binomial(REQUESTS, rates) / REQUESTS
    errors = np.sqrt(found * (1 - found) / REQUESTS)
    return find_change_points(found, errors, period=7, series=10)


@pytest.mark.parametrize("dip", [0.0, 0.05, 0.15])
def test_changes_are_found_in_spite_of_weekdays(dip: float) -> None:
    rng = np.random.default_rng(1)
    false = [bool(draw(rng, dip=dip, shift=0)) for _ in range(60)]
    assert sum(false) <= 3
    true = [
        any(abs(at - DAYS // 2) <= 2 for at in draw(rng, dip=dip, shift=-0.05)) for _ in range(30)
    ]
    assert sum(true) >= 28


def test_one_odd_day_and_a_short_series_change_nothing() -> None:
    values, errors = np.full(20, 1.0), np.full(20, 0.1)
    values[9] = 9.0
    assert find_change_points(values, errors) == []
    assert find_change_points(np.array([0.0, 0.0, 9.0, 9.0]), np.full(4, 0.1)) == []
    values[9:] = 9.0
    assert find_change_points(values, errors) == [9]
