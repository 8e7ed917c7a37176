"""Estimate harm on other cases like these, as a sample of what users ask."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.compare.scores import group_by_cluster
from evalkit.core.eval_set import Case
from evalkit.stats.distributions import Floats
from evalkit.stats.intervals import Interval
from evalkit.stats.sign_flip_test import ClusterTest, SignFlipTest, run_cluster_test


def estimate_for_users(
    cases: Sequence[Case], harms: Floats, alpha: float, *, suite: Interval, suite_test: SignFlipTest
) -> ClusterTest:
    """Test harm, shape (cases,), on other cases like these; positive is worse.

    The interval includes `suite`, the interval for these cases, because other cases are less certain. The
    p-value is at least that of `suite_test`, an exact test of the same mean on these cases. If nothing
    changed, the differences are not symmetric where the runs have unequal numbers of trials: a case that
    always passed in ten baseline trials can lose its one new trial, but cannot win. Flipped signs alone
    would fail such an agent too often.
    """
    found = run_cluster_test(harms, group_by_cluster(case.cluster for case in cases), alpha)
    low, high = found.bounds
    return found._replace(
        bounds=Interval(min(low, suite.low), max(high, suite.high)),
        test=SignFlipTest(*map(max, zip(found.test, suite_test, strict=True))),
    )
