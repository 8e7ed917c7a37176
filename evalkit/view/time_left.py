"""Estimate how long a run still takes, as a range, from when its trials finished."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

MIN_TRIALS = 5
"""Finished trials before there is an estimate: fewer say nothing about the rest."""

_Z_90 = 1.645
_WINDOW = 200


class TimeLeft(NamedTuple):
    """The seconds that a run still takes: a 90 % range."""

    low_s: float
    high_s: float


def estimate_time_left(
    finished_s: Sequence[float], now_s: float, remaining: int, latencies_s: Sequence[float]
) -> TimeLeft | None:
    """Return how long the remaining trials take if they finish as fast as the newest ones did.

    The number of trials that finish in a given time is taken as a Poisson count, whose square root has a
    standard deviation of about 1/2 (Anscombe 1948). Time in which none finishes counts, so that a run
    that hangs is not promised to end.

    Args:
        finished_s: when trials finished, in ascending order, on the clock of `now_s`.
        now_s: the time now.
        remaining: the number of trials that are left.
        latencies_s: how long the agent took for finished trials. The last trial takes one more time.
    """
    if remaining <= 0:
        return TimeLeft(0.0, 0.0)
    recent = finished_s[-_WINDOW:]
    count = len(recent) - 1  # the first one only starts the clock
    if count < MIN_TRIALS - 1:
        return None
    span_s = now_s - recent[0]
    if span_s <= 0:
        return None
    low = (sqrt(count) - _Z_90 / 2) ** 2 / span_s
    high = (sqrt(count) + _Z_90 / 2) ** 2 / span_s
    longest_s = max(latencies_s[-_WINDOW:], default=0.0)
    return TimeLeft(remaining / high, remaining / low + longest_s)


def time_text(seconds: float) -> str:
    """Return a time in one unit, with the digits that an estimate deserves.

    >>> time_text(8.2), time_text(200), time_text(7500)
    ('8 s', '3 min', '2.1 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"
