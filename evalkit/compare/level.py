"""Find the versions that are level with the best one of a metric, by exact paired tests."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from math import log
from typing import TYPE_CHECKING

from evalkit.compare.pairs import pair_scores
from evalkit.compare.scores import ScoreTable
from evalkit.core.errors import NotComparable
from evalkit.core.run import MetricInfo

if TYPE_CHECKING:
    from evalkit.compare.paired_scores import PairedScores

LEVEL_ALPHA = 0.05
"""The probability that any version that is as good as the best one is not listed as level."""


def find_leaders(
    info: MetricInfo,
    tag: str | None,
    tables: Sequence[ScoreTable],
    means: Sequence[float | None],
) -> tuple[int, ...]:
    """Return the index of the version with the best mean, then those of the versions level with it.

    A version is level with the best one unless a two-sided exact test of the cases that both scored
    rejects it. The tests share `LEVEL_ALPHA` (Holm 1979). Empty if fewer than two versions have a value.

    Args:
        info: the metric; versions that measure it differently have no mean.
        tag: the tag of the cases; None for all cases.
        tables: the scores of each version.
        means: the mean of each version; None if it has none.
    """
    known = [index for index, mean in enumerate(means) if mean is not None]
    if len(known) < 2:
        return ()
    sign = 1 if info.higher_is_better else -1
    best = max(known, key=lambda index: sign * (means[index] or 0.0))
    others, p_values = [], []
    for index in known:
        if index == best:
            continue
        try:
            pairs = pair_scores(tables[best], tables[index], info.name, tag=tag)
        except NotComparable:
            continue
        others.append(index)
        p_values.append(_compute_p_value(pairs))
    if not others:
        return ()
    # Imported here, because numpy takes 100 ms to load and stored histories do not need it.
    from evalkit.stats.multiplicity import holm_levels  # noqa: PLC0415

    levels = holm_levels(p_values, [LEVEL_ALPHA] * len(others))
    level = [index for index, p, alpha in zip(others, p_values, levels, strict=True) if p > alpha]
    return (best, *level)


def _compute_p_value(pairs: PairedScores) -> float:
    """Return the two-sided p-value of the test that exchanges the trials of each case."""
    import numpy as np  # noqa: PLC0415

    from evalkit.stats.score_exchange_test import run_score_exchange_test  # noqa: PLC0415

    values = list(chain(*pairs.base, *pairs.candidate))
    # As in the gate: a slow case has the same weight as a fast one.
    is_log = bool(pairs.info.unit) and min(values) > 0
    sides = (
        [np.array([log(value) if is_log else value for value in row]) for row in rows]
        for rows in (pairs.base, pairs.candidate)
    )
    test = run_score_exchange_test(*sides)
    # Both runs swapped give 1 - p.
    return min(1.0, 2 * min(test.p_value, 1 - test.p_value))
