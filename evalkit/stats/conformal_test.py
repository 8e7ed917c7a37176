"""Test, as often as one likes, whether a series of runs on the same cases is still like its first runs.

If nothing changed, the trials of a case are exchangeable over all runs. So each run has an exact p-value
against all earlier ones together, given the total passes of every case. The p-values of exchangeable runs,
smoothed, are independent and uniform (Vovk, Nouretdinov, and Gammerman 2003, "Testing exchangeability
on-line"). A bet on small p-values, such as `k p**(k - 1)`, has the mean 1, and a product of bets is a
martingale. It reaches 1/alpha with a probability of at most alpha, however many runs are looked at (Ville
1939). The p-values here are not smoothed but larger, so that every product is smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evalkit.stats.distributions import Floats, Ints
from evalkit.stats.exchange_test import drop_weights, sum_distribution
from evalkit.stats.pass_counts import PassCounts

MAX_SERIES = 60
"""The number of runs that a series may have. The change may begin with any of them, and each of these
beginnings has an equal share of the stake."""

BET_EXPONENTS = (0.05, 0.1, 0.2, 0.4, 0.7)
"""The exponents k of the bets, with equal shares: small ones win on large changes."""

_SMALLEST_P = 1e-12
"""Smaller p-values are not exact."""


class SeriesCounts(NamedTuple):
    """The passes and the trials of one run, case by case: arrays of shape (cases,). Trials may be 0."""

    passed: Ints
    trials: Ints


def follow_series(first: SeriesCounts, later: Sequence[SeriesCounts]) -> Floats:
    """Return the e-value of a drop after each of the later runs, shape (later,), at most `MAX_SERIES`.

    If nothing changed, it reaches 1/alpha at any time with a probability of at most alpha. The sum that is
    tested has the weights of the exact test for a drop, in which failures of stable cases weigh more.
    """
    if not later:
        return np.empty(0)
    passed, trials = first
    p_values = []
    for run in later[:MAX_SERIES]:
        p_values.append(_find_p_value(SeriesCounts(passed, trials), run))
        passed, trials = passed + run.passed, trials + run.trials
    return combine_p_values(np.array(p_values))


def combine_p_values(p_values: Floats) -> Floats:
    """Return the e-value after each p-value, shape (runs,); see the module."""
    exponents = np.array(BET_EXPONENTS)[:, np.newaxis]
    logs = np.log(exponents) + (exponents - 1) * np.log(p_values.clip(_SMALLEST_P, 1.0))
    sums = np.concatenate((np.zeros((exponents.size, 1)), np.cumsum(logs, axis=1)), axis=1)
    found = []
    for now in range(1, sums.shape[1]):
        # A stake that waits for a later beginning is still there.
        begun = np.exp(sums[:, now, np.newaxis] - sums[:, :now]).mean(axis=0).sum()
        found.append((begun + MAX_SERIES - now) / MAX_SERIES)
    return np.array(found)


def _find_p_value(past: SeriesCounts, run: SeriesCounts) -> float:
    """Return the probability, if nothing changed, of past passes that weigh at least this much."""
    counts = PassCounts(
        base_passed=past.passed, base_trials=past.trials, passed=run.passed, trials=run.trials
    )
    distribution = sum_distribution(counts.margins, drop_weights)
    observed = sum(
        int(drop_weights(m)[b])
        for m, b in zip(past.trials.tolist(), past.passed.tolist(), strict=True)
    )
    return float(min(1.0, distribution.tail[observed - distribution.lowest]))
