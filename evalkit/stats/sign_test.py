"""Test by their signs whether more cases were lost than won, and bound the difference of the two shares."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import comb, inf, sqrt
from typing import NamedTuple

from evalkit.stats.intervals import Interval
from evalkit.stats.power import z_quantile

_STEPS = 60
"""Halvings of an interval of length 2; they exhaust the precision of a float."""


class SignTest(NamedTuple):
    """The one-sided mid-p of the losses, and the smallest one that this many decided cases allow."""

    p_value: float
    smallest_p: float


def run_sign_test(wins: int, losses: int) -> SignTest:
    """Test whether losses are more frequent than wins; ties are no evidence and not passed.

    If nothing changed, a decided case is won or lost with equal chance, so the losses are binomial with
    chance 1/2 (the sign test; Dixon and Mood 1946). The p-value is P(more losses) + P(as many) / 2
    (mid-p, Lancaster 1961), without rounding before the last step.
    """
    decided = wins + losses
    more = sum(comb(decided, count) for count in range(losses + 1, decided + 1))
    # In halves, so that all of it is whole numbers.
    p_value = (2 * more + comb(decided, losses)) / 2 ** (decided + 1)
    return SignTest(p_value=p_value, smallest_p=1 / 2 ** (decided + 1))


def find_rejection_rate(decided: int, alpha: float) -> float:
    """Return the exact probability that the mid-p of so many decided cases is at most `alpha`."""
    rate = 0.0
    for losses in range(decided, -1, -1):
        if run_sign_test(decided - losses, losses).p_value > alpha:
            break
        rate += comb(decided, losses) / 2**decided
    return rate


def net_share_interval(wins: int, losses: int, pairs: int, alpha: float) -> Interval:
    """Return the score interval of the share of wins minus that of losses (Tango 1998).

    Args:
        wins: cases won.
        losses: cases lost.
        pairs: all cases, with the ties; at least one.
        alpha: the chance that each bound is wrong.
    """
    z = z_quantile(alpha)
    center = (wins - losses) / pairs
    score = partial(_compute_score, wins, losses, pairs)
    return Interval(
        _find_crossing(score, z, Interval(-1.0, center)),
        _find_crossing(score, -z, Interval(center, 1.0)),
    )


def _find_crossing(score: Callable[[float], float], wanted: float, between: Interval) -> float:
    """Return where a score that falls is equal to a wanted one, by bisection."""
    low, high = between
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if score(middle) > wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _compute_score(wins: int, losses: int, pairs: int, difference: float) -> float:
    """Return the score statistic of a difference; the share of losses is the likeliest one under it."""
    a = 2 * pairs
    b = -wins - losses + (2 * pairs - wins + losses) * difference
    c = -losses * difference * (1 - difference)
    share = (sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = pairs * (2 * share + difference * (1 - difference))
    distance = wins - losses - pairs * difference
    if variance <= 0:
        # At a difference of 1 or -1 every case would be decided alike.
        return 0.0 if distance == 0 else distance * inf
    return distance / sqrt(variance)
