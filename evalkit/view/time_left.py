"""Estimate how long a run still takes, as a range, from when its trials finished."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import sqrt
from typing import NamedTuple

MIN_TRIALS = 5
"""Finished trials before there is an estimate: fewer say nothing about the rest."""

_Z_90 = 1.645
_WINDOW = 200
_MIN_PAUSE_S = 60.0
_PAUSE_FACTOR = 5


class TimeLeft(NamedTuple):
    """The seconds that a run still takes: a 90 % range."""

    low_s: float
    high_s: float


def estimate_time_left(
    finished_s: Iterable[float], now_s: float, remaining: int, longest_s: float
) -> TimeLeft | None:
    """Return how long the remaining trials take if they finish as fast as the newest ones did.

    The number of trials that finish in a given time is taken as a Poisson count, whose square root has a
    standard deviation of about 1/2 (Anscombe 1948). Time in which none finishes counts, so that a run
    that hangs is not promised to end. A long pause between two trials is that before a run was resumed,
    and the trials before it do not count.

    Args:
        finished_s: when trials finished, on the clock of `now_s`.
        now_s: the time now, in seconds.
        remaining: the number of trials that are left.
        longest_s: how long the longest trial took. The last one takes that long at most.
    """
    if remaining <= 0:
        return TimeLeft(0.0, 0.0)
    recent = _cut_at_pause(sorted(finished_s)[-_WINDOW:], longest_s)
    count = len(recent) - 1  # the first one only starts the clock
    if count < MIN_TRIALS - 1:
        return None
    span_s = now_s - recent[0]
    if span_s <= 0:
        return None
    low = (sqrt(count) - _Z_90 / 2) ** 2 / span_s
    high = (sqrt(count) + _Z_90 / 2) ** 2 / span_s
    return TimeLeft(remaining / high, remaining / low + longest_s)


def _cut_at_pause(finished_s: Sequence[float], longest_s: float) -> Sequence[float]:
    """Return the times after the last long pause."""
    pause_s = max(_MIN_PAUSE_S, _PAUSE_FACTOR * longest_s)
    start = 0
    for index, (before, after) in enumerate(pairwise(finished_s), start=1):
        if after - before > pause_s:
            start = index
    return finished_s[start:]
