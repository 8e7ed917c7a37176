"""Adjust the levels of several tests that are made together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.stats.association import count_sharers


def holm_levels(p_values: Sequence[float], alphas: Sequence[float]) -> list[float]:
    """Return the level of each of several tests, so that together they err no more often than one.

    The level of the smallest p of k is alpha / k, of the next alpha / (k - 1), and so on, up to the first
    p above its level. That test and all after it have the same divisor (Holm 1979). If alphas differ,
    p-values are ranked as shares of their own alpha. The chance of any false rejection is then at most
    the largest alpha: of t true null hypotheses, the first in the ranking gets at most its alpha / t.
    """
    ranked = sorted(range(len(p_values)), key=lambda index: p_values[index] / alphas[index])
    levels = [0.0] * len(ranked)
    divisor = len(ranked)
    is_open = True
    for rank, index in enumerate(ranked):
        if is_open:
            divisor = len(ranked) - rank
        levels[index] = alphas[index] / divisor
        is_open = is_open and p_values[index] <= levels[index]
    return levels


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseTest:
    """Fisher's exact test of one case: its p-value, and the smallest p-value that is possible.

    Both are one-sided, given the total passes; `min_p_value` does not depend on the observed result.
    """

    p_value: float
    min_p_value: float


def compare_case(base_passed: int, base_trials: int, passed: int, trials: int) -> CaseTest:
    """Test whether a case passes less often than before, with at least one trial on each side."""
    from evalkit.stats.distributions import exchange_pmf  # noqa: PLC0415 - it loads numpy

    total_passed = base_passed + passed
    pmf = exchange_pmf(base_trials, trials)[total_passed]
    fewest = max(0, total_passed - base_trials)
    return CaseTest(p_value=float(pmf[: passed + 1].sum()), min_p_value=float(pmf[fewest]))


def find_significant(tests: Sequence[CaseTest], alpha: float) -> list[bool]:
    """Return which tests are significant if the chance of any false one is at most `alpha` (Tarone 1990).

    Only tests that could reach their share get one. A case whose fresh trials pass could not, so it does
    not lower the shares of the cases that fail.
    """
    sharers = count_sharers([test.min_p_value for test in tests], alpha)
    return [test.p_value <= alpha / sharers for test in tests]
