"""Decide by a judge's answers to controls whether it can be trusted: a sequential test of its error rate."""

from __future__ import annotations

from math import log
from typing import Literal, TypeAlias

Finding: TypeAlias = Literal["trusted", "wrong", "open"]

RELIABLE, UNRELIABLE = 0.02, 0.20
"""The error rates between which the test decides."""

ERROR_CHANCE = 0.05
"""The chance to take one of these rates for the other, by Wald's approximation."""

ENOUGH = 11
"""Controls of one kind without a wrong answer after which a judge is trusted: an unreliable judge gives
so many right answers in .8 ** 11 = 9 % of runs."""

MAX_ASKED = 40
"""The most controls of one kind that the test asks before it decides against the judge."""

_LIMIT = log((1 - ERROR_CHANCE) / ERROR_CHANCE)
_PER_WRONG = log(UNRELIABLE / RELIABLE)
_PER_RIGHT = log((1 - UNRELIABLE) / (1 - RELIABLE))


def decide_trust(asked: int, wrong: int) -> Finding:
    """Return what the answers to controls of one kind show; `open` asks for more of them.

    This is the sequential probability ratio test (Wald 1945) of `UNRELIABLE` against `RELIABLE`. A judge
    that was never wrong is trusted, because the planned controls are enough.

    >>> decide_trust(11, 0), decide_trust(12, 1), decide_trust(4, 2)
    ('trusted', 'open', 'wrong')
    """
    if not wrong:
        return "trusted"
    ratio = _weigh(asked, wrong)
    if ratio <= -_LIMIT:
        return "trusted"
    return "wrong" if ratio >= _LIMIT or asked >= MAX_ASKED else "open"


def is_suspicious(asked: int, wrong: int) -> bool:
    """Return whether so many wrong answers speak for an unreliable judge rather than for a reliable one.

    >>> is_suspicious(100, 3), is_suspicious(100, 9)
    (False, True)
    """
    return _weigh(asked, wrong) > 0


def count_needed(asked: int, wrong: int) -> int:
    """Return how many more right answers lead to trust, if no further one is wrong.

    >>> count_needed(12, 1)
    15
    """
    needed = 0
    while wrong and _weigh(asked + needed, wrong) > -_LIMIT:
        needed += 1
    return min(needed, max(0, MAX_ASKED - asked))


def _weigh(asked: int, wrong: int) -> float:
    """Return the log likelihood ratio of an unreliable judge to a reliable one."""
    return wrong * _PER_WRONG + (asked - wrong) * _PER_RIGHT
