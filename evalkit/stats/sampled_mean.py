"""Estimate the mean of all requests from a stratified random sample of sessions, and its interval.

Each stratum of the frame is a simple random sample without replacement of whole sessions. The values are
shares from 0 to 1.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from evalkit.stats.distributions import Floats, Ints
from evalkit.stats.intervals import Interval, share_interval

_ROUNDING = 1e-15
_FULL_TRUST_UNITS = 2.0
"""With this many effective units, an observed variance counts half (in logarithms)."""
MAX_EFFECTIVE_TRIALS = 1e6


class SampledUnits(NamedTuple):
    """The sampled sessions of a frame, one entry each.

    `totals` are the sums of the values of a session's requests, and `sizes` the number of those that have
    a value, which may be 0. `strata` are the numbers of the strata, from 0. `chances` are the inclusion
    probabilities (0 < p <= 1): the share of the stratum's sessions that were drawn.
    """

    totals: Floats
    sizes: Floats
    strata: Ints
    chances: Floats


class SampledMean(NamedTuple):
    """An estimated mean, its interval, its standard error, and the effective number of requests."""

    value: float
    interval: Interval
    se: float
    effective: float


def estimate_sampled_mean(units: SampledUnits, alpha: float) -> SampledMean:
    """Return the Hajek mean of all requests of the frame; each bound is wrong with probability `alpha`.

    The mean is sum(totals / chances) / sum(sizes / chances) (Hajek 1971). Its variance is that of the
    linearized ratio in a stratified sample with the finite population correction (Sarndal, Swensson, and
    Wretman 1992, 5.7 and 7.3). A stratum with one sampled session varies around the mean of all. The
    interval is that of Clopper and Pearson at rate (1 - rate) / variance effective requests (Korn and
    Graubard 1998). Few deviating sessions show a variance badly, so that it counts less the fewer they are:
    see `effective_trials` in `evalkit/stats/intervals.py`. The least number, (sum d)**2 / sum d**2 of the
    weighted sizes d (Kish 1965), then takes its place. If every session was drawn, the mean is exact.

    Raises:
        ValueError: no session has a value.
    """
    weights = units.sizes / units.chances
    total = float(weights.sum())
    if total <= 0:
        raise ValueError("no sampled session has a value")
    value = float(np.sum(units.totals / units.chances)) / total
    value = min(max(value, 0.0), 1.0)
    left_out = 1 - units.chances
    if not np.any(left_out > _ROUNDING):
        return SampledMean(value, Interval(value, value), 0.0, total)
    deviations = _center(
        (units.totals - value * units.sizes) / units.chances / total, units.strata
    ) * np.sqrt(left_out)
    squares = deviations**2
    shares = weights / total * np.sqrt(left_out)
    variance, most = float(squares.sum()), float(np.sum(shares**2))
    least = 1 / most if most > 0 else 1.0
    effective = least
    if variance > _ROUNDING and 0 < value < 1:
        gain = value * (1 - value) / variance / least
        informative = variance**2 / float(np.sum(squares**2)) * min(least / squares.size, 1.0) ** 2
        trust = informative / (informative + _FULL_TRUST_UNITS)
        effective = least * (gain if gain < 1 else gain**trust)
    effective = min(effective, MAX_EFFECTIVE_TRIALS)
    return SampledMean(value, share_interval(value, effective, alpha), sqrt(variance), effective)


def _center(values: Floats, strata: Ints) -> Floats:
    """Return values minus the mean of their stratum, scaled by sqrt(n / (n-1)); one alone stays."""
    centered = values.copy()
    for number in np.unique(strata):
        inside = strata == number
        count = int(inside.sum())
        if count > 1:
            centered[inside] -= values[inside].mean()
            centered[inside] *= sqrt(count / (count - 1))
    return centered
