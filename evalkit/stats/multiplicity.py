"""Levels for several tests at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.stats.distributions import exchange_pmf


def holm_levels(p_values: Sequence[float], alphas: Sequence[float]) -> list[float]:
    """Return the level of each of several tests, so that together they err no more often than one.

    The level of the smallest p of k is alpha / k, of the next alpha / (k - 1) and so on, up to the first
    p that is above its level; that one and all after it keep its divisor (Holm 1979). Where alphas
    differ, p-values are ranked as shares of their own alpha. The chance of any false rejection is then
    at most the largest alpha, because the first true hypothesis, of t true ones, gets a level of at most
    its own alpha / t.
    """
    ranked = sorted(range(len(p_values)), key=lambda index: p_values[index] / alphas[index])
    levels = [0.0] * len(ranked)
    divisor = len(ranked)
    is_open = True
    for rank, index in enumerate(ranked):
        if is_open:
            # Once one test is above its level, it and all after it keep the divisor.
            divisor = len(ranked) - rank
        levels[index] = alphas[index] / divisor
        is_open = is_open and p_values[index] <= levels[index]
    return levels


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseTest:
    """Fisher's exact test of one case: how likely so few passes were, and the smallest p-value.

    Both are one-sided, given the passes in all; `min_p_value` depends on nothing else.
    """

    p_value: float
    min_p_value: float


def compare_case(base_passed: int, base_trials: int, passed: int, trials: int) -> CaseTest:
    """Test whether a case passes less often than before, with at least one trial on each side."""
    in_all = base_passed + passed
    pmf = exchange_pmf(base_trials, trials)[in_all]
    fewest = max(0, in_all - base_trials)
    return CaseTest(p_value=float(pmf[: passed + 1].sum()), min_p_value=float(pmf[fewest]))


def find_significant(tests: Sequence[CaseTest], alpha: float) -> list[bool]:
    """Return which tests are significant together, any of them by chance at most at `alpha` (Tarone 1990).

    Alpha is shared among the tests that could reach their share at all. A case whose fresh trials pass
    could not, so it takes nothing from those that fail.
    """
    sharers = next(
        count
        for count in range(1, len(tests) + 2)
        if sum(test.min_p_value <= alpha / count for test in tests) <= count
    )
    return [test.p_value <= alpha / sharers for test in tests]
