"""The mean of traffic from a stratified sample of sessions, against textbook formulas and by simulation."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from evalkit.stats.distributions import Floats, Ints
from evalkit.stats.sampled_mean import SampledMean, SampledUnits, estimate_sampled_mean


def of(
    totals: list[float], sizes: list[float], strata: list[int], chances: list[float]
) -> SampledMean:
    units = SampledUnits(
        np.array(totals), np.array(sizes), np.array(strata, dtype=np.int64), np.array(chances)
    )
    return estimate_sampled_mean(units, 0.05)


def test_one_stratum_of_single_requests_is_the_textbook_simple_random_sample() -> None:
    values = [0.0, 0.5, 1.0, 1.0, 0.0, 1.0, 0.5, 0.0]
    found = of(values, [1.0] * 8, [0] * 8, [0.25] * 8)
    assert found.value == pytest.approx(np.mean(values))
    # Cochran (1977), 2.20: variance (1 - f) s**2 / n.
    assert found.se == pytest.approx(sqrt(0.75 * np.var(values, ddof=1) / 8))
    assert found.interval.low < found.value < found.interval.high


def test_two_strata_have_the_textbook_stratified_variance() -> None:
    # 4 of 40 and 4 of 10: means 0.25 and 0.75, weights 0.8 and 0.2.
    values, chances = [1.0, 0, 0, 0, 1, 1, 1, 0], [0.1] * 4 + [0.4] * 4
    found = of(values, [1.0] * 8, [0] * 4 + [1] * 4, chances)
    assert found.value == pytest.approx(0.8 * 0.25 + 0.2 * 0.75)
    parts = (0.8**2 * 0.9 * 0.25 / 4, 0.2**2 * 0.6 * 0.25 / 4)
    assert found.se == pytest.approx(sqrt(sum(parts)))


def test_a_sample_of_everything_is_exact_and_equal_scores_leave_doubt() -> None:
    everything = of([1.0, 2.0, 0.0], [1.0, 3.0, 2.0], [0, 0, 0], [1.0, 1.0, 1.0])
    assert everything.value == pytest.approx(0.5)
    assert everything.interval == (everything.value, everything.value)
    clean = of([0.0] * 10, [1.0] * 10, [0] * 10, [0.01] * 10)
    assert clean.value == 0
    assert clean.interval.low == 0
    assert clean.interval.high > 0.2  # as of ten requests
    # A session without a judged request is part of the sample, and one drawn alone shows no variance.
    sparse = of([1.0, 0.0, 0.0], [1.0, 0.0, 1.0], [0, 0, 1], [0.5, 0.5, 0.5])
    assert sparse.value == pytest.approx(0.5)
    assert sparse.interval.low > 0
    with pytest.raises(ValueError, match="no sampled session has a value"):
        of([0.0], [0.0], [0], [0.5])


def make_traffic(rates: tuple[float, ...], random: np.random.Generator) -> list[Floats]:
    """Sessions of 1 to 8 requests whose outcomes agree within the session; failed, slow, and others."""
    strata: list[int] = []
    totals: list[int] = []
    sizes: list[int] = []
    for number, (count, rate) in enumerate(zip((100, 150, 2000), rates, strict=True)):
        size = random.geometric(0.5, count).clip(1, 8)
        chance = random.beta(2.3 * rate, 2.3 * (1 - rate), count)
        strata += [number] * count
        totals += list(random.binomial(size, chance))
        sizes += list(size)
    return [np.array(each, dtype=float) for each in (strata, totals, sizes)]


@pytest.mark.parametrize("rates", [(0.6, 0.2, 0.02), (0.7, 0.5, 0.5)])
def test_an_interval_holds_the_mean_of_traffic_however_much_is_oversampled(
    rates: tuple[float, ...],
) -> None:
    random = np.random.default_rng(7)
    strata, totals, sizes = make_traffic(rates, random)
    truth = totals.sum() / sizes.sum()
    missed_low = missed_high = 0
    means, plain = [], []
    rounds = 400
    for _ in range(rounds):
        rows: list[int] = []
        for number in range(3):
            inside: Ints = np.flatnonzero(strata == number)
            rows += random.choice(inside, 17, replace=False).tolist()
        chances = [17 / (100, 150, 2000)[int(strata[row])] for row in rows]
        found = of(
            list(totals[rows]), list(sizes[rows]), [int(strata[row]) for row in rows], chances
        )
        missed_low += truth < found.interval.low
        missed_high += truth > found.interval.high
        means.append(found.value)
        plain.append(totals[rows].sum() / sizes[rows].sum())
    # Each bound at 5%, with three standard errors of the simulation.
    assert max(missed_low, missed_high) <= rounds * 0.05 + 3 * sqrt(rounds * 0.05 * 0.95)
    assert np.mean(means) == pytest.approx(truth, abs=0.02)
    assert np.mean(plain) > truth + 0.03  # what a mean without weights would claim
