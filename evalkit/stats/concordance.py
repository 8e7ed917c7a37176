"""Measure how well a score of versions predicts whether their users are satisfied.

A satisfied user of one version and an unsatisfied one of another are a concordant pair if the first version
has the better score. The share of concordant pairs, with ties as halves, is the area under the ROC curve
(AUC) of the score, over pairs of different versions only: within a version every score is tied.
"""

from __future__ import annotations

from itertools import permutations
from math import factorial, sqrt
from typing import NamedTuple

import numpy as np

from evalkit.stats.distributions import Floats
from evalkit.stats.intervals import Interval
from evalkit.stats.power import z_quantile

MAX_EXACT_VERSIONS = 7
"""Up to this many versions, all 5,040 orders are evaluated."""
DRAWS = 9_999
_SEED = 20_250_101
_TIE = 1e-12
_CHUNK = 1_000
"""How many orders are evaluated at a time."""


class Concordance(NamedTuple):
    """The AUC of a score, 0.5 without any relation, and its interval for the same versions."""

    auc: float
    bounds: Interval


def estimate_concordance(
    good: Floats, bad: Floats, scores: Floats, alpha: float
) -> Concordance | None:
    """Return the AUC of scores of versions, with users as clusters; None if there are no pairs.

    The variance is that of the linearized ratio of concordant pairs to all pairs, summed by user (Obuchowski
    1997, for clustered data).

    Args:
        good: satisfied requests, shape (users, versions).
        bad: unsatisfied requests, shape (users, versions).
        scores: the score of each version, shape (versions,); higher is better.
        alpha: the probability with which each bound is wrong.
    """
    wins = _compare_scores(scores)
    of_good, of_bad = good.sum(axis=0), bad.sum(axis=0)
    pairs = _count_pairs(of_good, of_bad)
    if pairs <= 0:
        return None
    auc = float(of_good @ wins @ of_bad) / pairs
    # Pairs of one version do not count.
    beyond = (wins - auc) * (1 - np.eye(scores.size))
    influence = good @ (beyond @ of_bad) + bad @ (of_good @ beyond)
    users = good.shape[0]
    if users < 2:
        return Concordance(auc, Interval(0.0, 1.0))
    reach = z_quantile(alpha) * sqrt(users / (users - 1) * float(influence @ influence)) / pairs
    return Concordance(auc, Interval(max(0.0, auc - reach), min(1.0, auc + reach)))


def permute_concordance(of_good: Floats, of_bad: Floats, scores: Floats) -> float:
    """Return the probability of an AUC this high if the scores had been given to the versions at random.

    Versions, not users, are the sample here (Pitman 1937). With many versions, 9,999 orders are drawn with
    a fixed seed, and the observed one is added (Phipson and Smyth 2010).
    """
    pairs = _count_pairs(of_good, of_bad)
    if pairs <= 0:
        return 1.0
    wins = _compare_scores(scores)
    observed = float(of_good @ wins @ of_bad)
    count = scores.size
    if count <= MAX_EXACT_VERSIONS:
        orders = np.array(list(permutations(range(count))))
    else:
        rng = np.random.default_rng(_SEED)
        orders = np.array([np.arange(count), *(rng.permutation(count) for _ in range(DRAWS))])
    sums = np.concatenate(
        [
            np.einsum(
                "i,pij,j->p", of_good, wins[part[:, :, np.newaxis], part[:, np.newaxis]], of_bad
            )
            for part in np.array_split(orders, max(1, len(orders) // _CHUNK))
        ]
    )
    return float(np.mean(sums >= observed - _TIE * pairs))


def smallest_permutation_p(versions: int) -> float:
    """Return the smallest p-value that so many versions allow: one order of all."""
    return 1 / factorial(versions) if versions <= MAX_EXACT_VERSIONS else 1 / (DRAWS + 1)


def _compare_scores(scores: Floats) -> Floats:
    """Return 1 where the score of the row is higher, 0.5 where it is equal, shape (versions, versions)."""
    wins: Floats = np.heaviside(scores[:, np.newaxis] - scores[np.newaxis, :], 0.5)
    np.fill_diagonal(wins, 0.0)
    return wins


def _count_pairs(of_good: Floats, of_bad: Floats) -> float:
    return float(of_good.sum() * of_bad.sum() - of_good @ of_bad)
