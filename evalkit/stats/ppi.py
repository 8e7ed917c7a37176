"""Estimate the mean that people would give, from a judge's values of all cases and labels of some.

The method is prediction-powered inference with a tuned weight (PPI++, Angelopoulos et al., arXiv
2311.01453). The judge measures the unlabeled cases, and the labeled cases show the error of the judge. The
estimate is unbiased even if the judge is wrong, and the interval is narrower if the judge agrees with
people. The labeled cases must have been drawn at random.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from evalkit.stats.distributions import Floats, t_quantile

MIN_RARER_LABELS = 5
"""With fewer labels of the rarer of two outcomes, a nominal 90 % interval holds the true value as seldom as
76 % of the time: without one such label, the labels would even claim that there is no error."""

ALPHA = 0.05
"""The chance that an interval misses the true value on one side."""


class CorrectedMean(NamedTuple):
    """An estimate with its 90 % interval; `share` (0..1) is how much weight the judge's values got."""

    value: float
    low: float
    high: float
    share: float


def count_rarer_labels(human: Floats) -> int | None:
    """Return how many labels have the rarer outcome; None if a label is neither 0 nor 1.

    Labels that all agree have none of the other outcome.
    """
    passed = int(np.count_nonzero(human == 1.0))
    failed = int(np.count_nonzero(human == 0.0))
    return min(passed, failed) if passed + failed == human.size else None


def correct_mean(human: Floats, judged: Floats, rest: Floats) -> CorrectedMean:
    """Estimate the mean that people would give over all cases, for values or for differences of two runs.

    `human` and `judged` are the values of the labeled cases, at least two, in the same order. `rest` are
    the judge's values of all other cases.
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
    # The judge adds nothing without unlabeled cases, or if it always gives the same value.
    variance = float(np.var(np.concatenate([judged, rest]), ddof=1)) if rest.size > 1 else 0.0
    if not variance:
        return 0.0
    covariance = float(np.cov(human, judged, ddof=1)[0, 1])
    return min(max(covariance / (variance * (1 + human.size / rest.size)), 0.0), 1.0)
