"""Exact tests of single cases into which of them are proven, however many were tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.statistics.exchange import exchange_law


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseTest:
    """Fisher's exact test of one case: how likely so few passes were, and how unlikely it could get.

    Both are one-sided, given the passes in all; `least` depends on nothing else.
    """

    p_value: float
    least: float


def compare_case(base_passed: int, base_trials: int, passed: int, trials: int) -> CaseTest:
    """Test whether a case passes less often than before; at least one trial on each side."""
    in_all = base_passed + passed
    law = exchange_law(base_trials, trials)[in_all]
    fewest = max(0, in_all - base_trials)
    return CaseTest(p_value=float(law[: passed + 1].sum()), least=float(law[fewest]))


def find_proven(tests: Sequence[CaseTest], alpha: float) -> list[bool]:
    """Which tests hold at once, so that none does by chance more often than alpha (Tarone 1990).

    Alpha is shared among the tests that could reach their share at all. A case whose fresh trials pass
    could not, so that it takes nothing from those that fail.
    """
    sharers = next(
        count
        for count in range(1, len(tests) + 2)
        if sum(test.least <= alpha / count for test in tests) <= count
    )
    return [test.p_value <= alpha / sharers for test in tests]
