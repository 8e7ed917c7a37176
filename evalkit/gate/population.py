"""Per-case harm into an answer about other cases like these, which are a sample of what users ask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.core.eval_set import Case
from evalkit.stats.distributions import Floats
from evalkit.stats.intervals import Interval, clustered_interval
from evalkit.stats.sign_flip_test import SignFlipTest, run_sign_flip_test


@dataclass(frozen=True, kw_only=True, slots=True)
class PopulationEvidence:
    """Harm on cases like these: the test, the interval of its mean, and the clusters both rest on."""

    test: SignFlipTest
    bounds: Interval
    clusters: int


def group_by_cluster(cases: Sequence[Case]) -> list[list[int]]:
    """Indices of the cases by cluster, in order of appearance; a case without one is its own."""
    groups: dict[tuple[str, str | int], list[int]] = defaultdict(list)
    for index, case in enumerate(cases):
        key = ("alone", index) if case.cluster is None else ("cluster", case.cluster)
        groups[key].append(index)
    return list(groups.values())


def estimate_for_users(
    cases: Sequence[Case], harms: Floats, alpha: float, *, of_these: Interval | None = None
) -> PopulationEvidence:
    """Flip the signs of whole clusters: cases of one share a cause, and are not independent.

    `harms`, shape (cases,), is positive where a case got worse. The interval reaches at least as far
    as that `of_these`: other cases are not better known.
    """
    groups = group_by_cluster(cases)
    sums = np.array([float(np.sum(harms[group])) for group in groups])
    low, high = clustered_interval(harms, groups, alpha)
    if of_these is not None:
        low, high = min(low, of_these.low), max(high, of_these.high)
    return PopulationEvidence(
        test=run_sign_flip_test(sums),
        bounds=Interval(low, high),
        clusters=len(groups),
    )
