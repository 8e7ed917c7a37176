"""Test the mean of differences, which other cases like these may have, by flipping the signs of clusters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from evalkit.stats.distributions import Floats
from evalkit.stats.intervals import Groups, Interval, mean_interval

MAX_EXACT_DIFFERENCES = 15
"""Up to this many differences, all 2**15 sign patterns are evaluated, in about a millisecond."""
DRAWS = 19_999
"""The number of random sign patterns otherwise. A p-value of .05 is then accurate to .003 (two standard
errors)."""
_SEED = 20_250_101
_TIE_SHARE = 1e-9
"""Sums that differ by less than this share of the total differ by rounding only."""


class SignFlipTest(NamedTuple):
    """The one-sided p-value for a positive mean, and the smallest one that this many differences allow."""

    p_value: float
    smallest_p: float


def run_sign_flip_test(differences: Floats) -> SignFlipTest:
    """Test whether the mean of per-case differences, shape (cases,), is above zero.

    If nothing changed, a difference is as likely to have the other sign (Fisher 1935, Pitman 1937). Zeros
    carry no information and are left out. With up to 15 differences, every sign pattern is counted and the
    p-value is a mid-p. With more, 19,999 patterns are drawn with a fixed seed and the p-value is
    (1 + patterns as extreme) / (1 + patterns), which is never too small (Phipson and Smyth 2010).
    The order of the differences does not matter.
    """
    # Sorted before summing, so that rounding does not depend on the order of the cases.
    sizes = np.sort(np.abs(differences[differences != 0]))[::-1]
    observed = float(np.sum(np.sort(differences)))
    if sizes.size == 0:
        return SignFlipTest(p_value=0.5, smallest_p=0.5)
    tie = _TIE_SHARE * float(sizes.sum())
    if sizes.size <= MAX_EXACT_DIFFERENCES:
        sums = np.zeros(1)
        for size in sizes:
            sums = np.concatenate((sums + size, sums - size))
        above = float(np.mean(sums > observed + tie))
        reached = float(np.mean(sums >= observed - tie))
        return SignFlipTest(p_value=(above + reached) / 2, smallest_p=0.5 / sums.size)
    as_extreme = int(np.count_nonzero(_draw_sums(sizes) >= observed - tie))
    return SignFlipTest(p_value=(1 + as_extreme) / (1 + DRAWS), smallest_p=1 / (1 + DRAWS))


class ClusterTest(NamedTuple):
    """A sign-flip test of whole clusters, and the interval of the mean difference."""

    test: SignFlipTest
    bounds: Interval
    clusters: int


def run_cluster_test(differences: Floats, groups: Groups, alpha: float) -> ClusterTest:
    """Test per-case differences, shape (cases,), that are independent only between groups of indices.

    The signs of whole clusters are flipped, because the cases of a cluster are correlated.
    """
    # Use the sum of each cluster, so that the mean over cases is tested.
    sums = np.array([float(np.sum(differences[list(group)])) for group in groups])
    return ClusterTest(
        test=run_sign_flip_test(sums),
        bounds=mean_interval(differences, groups, alpha),
        clusters=len(groups),
    )


def _draw_sums(sizes: Floats) -> Floats:
    """Return sums of the sizes under random signs, shape (DRAWS,)."""
    rng = np.random.default_rng(_SEED)
    # Draw eight signs as one byte and look up their sum in a table: one draw instead of eight.
    signs = 1.0 - 2.0 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1)
    eights = np.append(sizes, np.zeros(-sizes.size % 8)).reshape(-1, 8)
    sums = np.zeros(DRAWS)
    for sums_of_byte in eights @ signs.T:
        sums += sums_of_byte[rng.integers(0, 256, DRAWS, dtype=np.uint8)]
    return sums
