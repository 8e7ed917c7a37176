"""Fit the distribution of pass rates over cases."""

from __future__ import annotations

import numpy as np

from evalkit.stats.distributions import Floats, Ints

RATES: Floats = 1 / (1 + np.exp(-np.linspace(-9, 9, 91)))
"""The pass rates that a case may have: evenly spaced in logits, which resolves rates near 0 and 1."""

BETA_SHAPE = 0.2
"""The fit starts from Beta(.2, .2): most cases are nearly always right or nearly always wrong.
Its density of a logit is (p (1-p))**.2."""
_PRIOR_SHARES = (RATES * (1 - RATES)) ** BETA_SHAPE / np.sum((RATES * (1 - RATES)) ** BETA_SHAPE)

PRIOR_WEIGHT_CASES = 2.0
"""How many cases the starting shape weighs, so that no rate is ever ruled out."""
_STEPS = 30


def fit_rate_distribution(trials: Ints, passed: Ints) -> Floats:
    """Return the share of cases with each of RATES, from trials and passes of cases, shape (cases,).

    Nonparametric maximum likelihood (Laird 1978) by expectation maximization, stopped early and
    shrunk towards Beta(.2, .2) with the weight of two cases.
    """
    groups, repeats = np.unique(np.column_stack((trials, passed)), axis=0, return_counts=True)
    failed = groups[:, 0] - groups[:, 1]
    chances = np.outer(np.log(RATES), groups[:, 1]) + np.outer(np.log1p(-RATES), failed)
    # Relative to the largest: the likelihood of many trials would underflow.
    likelihood = np.exp(chances - chances.max(axis=0))
    prior = PRIOR_WEIGHT_CASES * _PRIOR_SHARES
    shares: Floats = _PRIOR_SHARES
    for _ in range(_STEPS):
        posterior = shares[:, np.newaxis] * likelihood
        expected = posterior @ (repeats / posterior.sum(axis=0)) + prior
        shares = expected / expected.sum()
    return shares
