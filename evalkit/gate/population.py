"""Estimate harm on other cases like these, which are a sample of what users ask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from evalkit.core.eval_set import Case
from evalkit.stats.distributions import Floats
from evalkit.stats.intervals import Interval
from evalkit.stats.sign_flip_test import ClusterTest, run_cluster_test


def group_by_cluster(cases: Sequence[Case]) -> list[list[int]]:
    """Return the indices of the cases by cluster, in order; a case without a cluster is its own."""
    groups: dict[tuple[str, str | int], list[int]] = defaultdict(list)
    for index, case in enumerate(cases):
        key = ("alone", index) if case.cluster is None else ("cluster", case.cluster)
        groups[key].append(index)
    return list(groups.values())


def estimate_for_users(
    cases: Sequence[Case], harms: Floats, alpha: float, *, of_these: Interval | None = None
) -> ClusterTest:
    """Test harm, shape (cases,), on other cases like these; positive is worse.

    The interval reaches at least as far as the interval `of_these` cases: others are not better known.
    """
    found = run_cluster_test(harms, group_by_cluster(cases), alpha)
    if of_these is None:
        return found
    low, high = found.bounds
    return found._replace(bounds=Interval(min(low, of_these.low), max(high, of_these.high)))
