"""Fit the distribution of the pass rates of all cases."""

from __future__ import annotations

import numpy as np

from evalkit.stats.distributions import Floats, Ints

RATES: Floats = 1 / (1 + np.exp(-np.linspace(-9, 9, 91)))
"""The possible pass rates of a case. They are evenly spaced in logits, so they are dense near 0 and 1."""

BETA_SHAPE = 0.2
"""The fit starts from Beta(.2, .2): most cases nearly always pass or nearly always fail. In logits, its
density is proportional to (p (1-p))**.2."""
_PRIOR_SHARES = (RATES * (1 - RATES)) ** BETA_SHAPE / np.sum((RATES * (1 - RATES)) ** BETA_SHAPE)

PRIOR_WEIGHT_CASES = 2.0
"""The weight of the starting shape, in cases. It keeps every rate possible."""
_STEPS = 30


def fit_rate_distribution(trials: Ints, passed: Ints) -> Floats:
    """Return the share of cases with each of RATES, from the trials and passes of each case, shape (cases,).

    The method is nonparametric maximum likelihood (Laird 1978) by expectation maximization, stopped
    early and shrunk towards Beta(.2, .2) with the weight of two cases.
    """
    groups, repeats = np.unique(np.column_stack((trials, passed)), axis=0, return_counts=True)
    failed = groups[:, 0] - groups[:, 1]
    chances = np.outer(np.log(RATES), groups[:, 1]) + np.outer(np.log1p(-RATES), failed)
    # Divide by the largest value, because the likelihood of many trials would underflow.
    likelihood = np.exp(chances - chances.max(axis=0))
    prior = PRIOR_WEIGHT_CASES * _PRIOR_SHARES
    shares: Floats = _PRIOR_SHARES
    for _ in range(_STEPS):
        posterior = shares[:, np.newaxis] * likelihood
        expected = posterior @ (repeats / posterior.sum(axis=0)) + prior
        shares = expected / expected.sum()
    return shares
