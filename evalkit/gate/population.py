"""Estimate harm on other cases like these, as a sample of what users ask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from evalkit.core.eval_set import Case
from evalkit.stats.distributions import Floats
from evalkit.stats.intervals import Interval
from evalkit.stats.sign_flip_test import ClusterTest, run_cluster_test


def group_by_cluster(cases: Sequence[Case]) -> list[list[int]]:
    """Return the indices of cases by cluster; a case without a cluster is a cluster of its own."""
    groups: dict[tuple[str, str | int], list[int]] = defaultdict(list)
    for index, case in enumerate(cases):
        key = ("alone", index) if case.cluster is None else ("cluster", case.cluster)
        groups[key].append(index)
    return list(groups.values())


def estimate_for_users(
    cases: Sequence[Case], harms: Floats, alpha: float, *, suite: Interval | None = None
) -> ClusterTest:
    """Test harm, shape (cases,), on other cases like these; positive is worse.

    The interval includes `suite`, the interval for these cases, because other cases are less certain.
    """
    found = run_cluster_test(harms, group_by_cluster(cases), alpha)
    if suite is None:
        return found
    low, high = found.bounds
    return found._replace(bounds=Interval(min(low, suite.low), max(high, suite.high)))
