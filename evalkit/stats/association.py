"""Test which of many features of cases go together with failure, by exact tests with one error rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, fsum, lgamma
from typing import TypeVar

Feature = TypeVar("Feature")


def fisher_upper(both: int, with_feature: int, failing: int, total: int) -> float:
    """Return the probability that at least `both` failing cases have a feature, if it is unrelated.

    This is the one-sided test of Fisher (1935). It is the exact permutation test of the share of failing
    cases with the feature: all choices of `failing` cases among `total` are equally likely, so the
    number of failing cases with the feature is hypergeometric.

    Args:
        both: the failing cases with the feature.
        with_feature: all cases with the feature.
        failing: all failing cases.
        total: all cases.
    """
    lowest, highest = max(0, with_feature + failing - total), min(with_feature, failing)
    if both <= lowest:
        return 1.0
    ways = _log_choose(total, failing)
    terms = (
        exp(_log_choose(with_feature, k) + _log_choose(total - with_feature, failing - k) - ways)
        for k in range(both, highest + 1)
    )
    return min(1.0, fsum(terms))


def _log_choose(count: int, chosen: int) -> float:
    return lgamma(count + 1) - lgamma(chosen + 1) - lgamma(count - chosen + 1)


def adjust_associations(
    failing: Sequence[bool], features: Mapping[Feature, frozenset[int]], alpha: float
) -> dict[Feature, float]:
    """Return the adjusted p-value of each feature: that it is commoner in failing cases by chance.

    If no feature is related to failure, the chance that any adjusted p-value is at most `alpha` is at
    most `alpha` (Tarone 1990). Features that could not reach their share, whichever cases fail, have no
    part in the adjustment: of many features that few cases have, none costs power.

    Args:
        failing: whether each case fails.
        features: the indices of the cases that have the feature. They must not depend on `failing`.
        alpha: the level at which p-values are compared.
    """
    total, failures = len(failing), sum(failing)
    p_values, smallest = {}, []
    for feature, cases in features.items():
        size = len(cases)
        both = sum(failing[index] for index in cases)
        p_values[feature] = fisher_upper(both, size, failures, total)
        smallest.append(fisher_upper(min(size, failures), size, failures, total))
    sharers = count_sharers(smallest, alpha)
    return {feature: min(1.0, p * sharers) for feature, p in p_values.items()}


def count_sharers(smallest: Sequence[float], alpha: float) -> int:
    """Return among how many tests `alpha` is shared, given the smallest possible p-value of each test.

    It is the smallest number k such that at most k tests could reach alpha / k (Tarone 1990).
    """
    return next(
        count
        for count in range(1, len(smallest) + 2)
        if sum(p <= alpha / count for p in smallest) <= count
    )
