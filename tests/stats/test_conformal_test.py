"""The sequential test of a series of runs: how often it is wrong, and that it finds a change."""

from __future__ import annotations

import numpy as np
import pytest

from evalkit.stats.conformal_test import (
    MAX_SERIES,
    SeriesCounts,
    combine_p_values,
    follow_series,
)


def make_counts(rates: np.ndarray, trials: int, rng: np.random.Generator) -> SeriesCounts:
    return SeriesCounts(rng.binomial(trials, rates), np.full(rates.size, trials))


@pytest.mark.parametrize(("base_trials", "trials"), [(5, 1), (1, 3)])
def test_an_unchanged_agent_is_rarely_said_to_move_however_often_one_looks(
    base_trials: int, trials: int
) -> None:
    rng = np.random.default_rng(11)
    wrong = 0
    for _ in range(150):
        rates = rng.beta(0.6, 0.4, 25)
        first = make_counts(rates, base_trials, rng)
        evidence = follow_series(first, [make_counts(rates, trials, rng) for _ in range(8)])
        wrong += bool((evidence >= 1 / 0.2).any())
    # At a level of 20 %, 150 series are wrong more than 42 times with a probability below .1 %.
    assert wrong <= 42


def test_uniform_p_values_win_nothing_on_average_at_any_time() -> None:
    rng = np.random.default_rng(3)
    reached = [
        (combine_p_values(rng.random(MAX_SERIES)) >= 20).any()  # Ville's bound is 5 %.
        for _ in range(800)
    ]
    assert 0.001 < np.mean(reached) <= 0.075


def test_a_drop_is_found_whenever_it_begins_and_a_rise_is_none() -> None:
    rng = np.random.default_rng(5)
    rates = rng.beta(0.6, 0.2, 100)
    first = make_counts(rates, 10, rng)
    series = [make_counts(rates * (1 if night < 6 else 0.85), 1, rng) for night in range(16)]
    evidence = follow_series(first, series)
    assert evidence[:6].max() < 20 < evidence[15]
    failures = [each._replace(passed=each.trials - each.passed) for each in (first, *series)]
    assert follow_series(failures[0], failures[1:]).max() < 20


def test_a_case_that_a_run_lacks_tells_nothing() -> None:
    first = SeriesCounts(np.array([3, 5]), np.array([5, 5]))
    run = SeriesCounts(np.array([0, 0]), np.array([2, 0]))
    alone = SeriesCounts(np.array([3]), np.array([5])), SeriesCounts(np.array([0]), np.array([2]))
    assert follow_series(first, [run]) == pytest.approx(follow_series(alone[0], [alone[1]]))
    assert follow_series(first, []).size == 0
