"""Estimate the mean that people would have given from a judge's values on all cases and people's on some.

Prediction-powered inference with a tuned weight (PPI++, Angelopoulos et al., arXiv 2311.01453): the judge
measures the cases that nobody labeled, and the labeled cases show how far the judge is off. However wrong
the judge is, the estimate is right on average; the better the judge agrees, the narrower the interval. It
requires that the labeled cases were drawn at random.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from evalkit.stats.distributions import Floats, t_quantile

MIN_LABELS = 30
"""With fewer, the normal theory of the interval does not hold for values that are 0 or 1."""

ALPHA = 0.05
"""On either side of an interval."""


class CorrectedMean(NamedTuple):
    """An estimate with its 90 % interval; `share` (0..1) is how much weight the judge's values got."""

    value: float
    low: float
    high: float
    share: float


def correct_mean(human: Floats, judged: Floats, rest: Floats) -> CorrectedMean:
    """Estimate the mean that people would give over all cases, of values or of differences of runs.

    `human` and `judged` are of the labeled cases, at least two, in one order; `rest` are the judge's
    values of all other cases.
    """
    labeled, unlabeled = human.size, rest.size
    share = _judge_weight(human, judged, rest)
    residuals = human - share * judged
    value = float(np.mean(residuals))
    variance = float(np.var(residuals, ddof=1)) / labeled
    if share:
        value += share * float(np.mean(rest))
        variance += share**2 * float(np.var(rest, ddof=1)) / unlabeled
    half = t_quantile(ALPHA, labeled - 1) * sqrt(variance)
    return CorrectedMean(value=value, low=value - half, high=value + half, share=share)


def _judge_weight(human: Floats, judged: Floats, rest: Floats) -> float:
    """Return the weight (0..1) that makes the interval narrowest."""
    # Without unlabeled cases, or where the judge always says the same, it adds nothing.
    spread = float(np.var(np.concatenate([judged, rest]), ddof=1)) if rest.size > 1 else 0.0
    if not spread:
        return 0.0
    together = float(np.cov(human, judged, ddof=1)[0, 1])
    return min(max(together / (spread * (1 + human.size / rest.size)), 0.0), 1.0)
