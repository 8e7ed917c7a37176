"""Passes of all cases into how their pass rates are spread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LOGITS = np.linspace(-9, 9, 91)
RATES: NDArray[np.float64] = 1 / (1 + np.exp(-_LOGITS))
"""The pass rates that a case may have: evenly spaced in logits, so that the ends are told apart."""

BETA_SHAPE = 0.2
"""Beta(.2, .2), from which the fit starts: most cases are nearly always right or nearly always wrong.
Its density of a logit is (p (1-p))**.2."""
_PRIOR_SHARES = (RATES * (1 - RATES)) ** BETA_SHAPE / np.sum((RATES * (1 - RATES)) ** BETA_SHAPE)

PRIOR_WEIGHT_CASES = 2.0
"""How many cases the shape it starts from weighs like, so that no rate is ever ruled out."""
_STEPS = 30


def fit_rate_distribution(
    trials: NDArray[np.int64], passed: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The share of cases with each of RATES, from trials and passes of cases, shape (cases,).

    Nonparametric maximum likelihood (Laird 1978) by expectation and maximisation, stopped early and
    drawn towards Beta(.2, .2) by two cases' weight.
    """
    groups, repeats = np.unique(np.column_stack((trials, passed)), axis=0, return_counts=True)
    failed = groups[:, 0] - groups[:, 1]
    chances = np.outer(np.log(RATES), groups[:, 1]) + np.outer(np.log1p(-RATES), failed)
    likelihood = np.exp(chances - chances.max(axis=0))
    shares: NDArray[np.float64] = _PRIOR_SHARES
    for _ in range(_STEPS):
        posterior = shares[:, np.newaxis] * likelihood
        expected = (
            posterior @ (repeats / posterior.sum(axis=0)) + PRIOR_WEIGHT_CASES * _PRIOR_SHARES
        )
        shares = expected / expected.sum()
    return shares
