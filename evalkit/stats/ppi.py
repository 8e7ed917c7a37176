"""A judge's values on all cases and people's on some into the mean that people would have given.

Prediction-powered inference with a tuned share (PPI++, Angelopoulos et al., arXiv 2311.01453): the judge
tells of the cases that nobody labelled, and the labelled ones tell how far the judge is off. However wrong
the judge is, the estimate is right on average; the better it agrees, the narrower the interval. It rests on
the labelled cases having been drawn by lot.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from evalkit.stats.exchange_test import Floats
from evalkit.stats.intervals import t_quantile

MIN_LABELS = 30
"""With fewer, the normal theory of the interval does not hold for values that are 0 or 1."""

ALPHA = 0.05
"""On either side of an interval."""


class CorrectedMean(NamedTuple):
    """An estimate with its 90 % interval; `share` (0..1) is how much of it the judge was trusted with."""

    value: float
    low: float
    high: float
    share: float


def correct_mean(human: Floats, judged: Floats, rest: Floats) -> CorrectedMean:
    """The mean over all cases, of values or of differences between two runs, as people would see it.

    `human` and `judged` are of the labelled cases, of which there are two or more, in one order; `rest`
    are the judge's of all the others.
    """
    labelled, unlabelled = human.size, rest.size
    share = _judge_weight(human, judged, rest)
    residuals = human - share * judged
    value = float(np.mean(residuals))
    variance = float(np.var(residuals, ddof=1)) / labelled
    if share:
        value += share * float(np.mean(rest))
        variance += share**2 * float(np.var(rest, ddof=1)) / unlabelled
    half = t_quantile(ALPHA, labelled - 1) * sqrt(variance)
    return CorrectedMean(value=value, low=value - half, high=value + half, share=share)


def _judge_weight(human: Floats, judged: Floats, rest: Floats) -> float:
    """The share that makes the interval narrowest, kept between none and all."""
    if rest.size < 2:
        return 0.0
    spread = float(np.var(np.concatenate([judged, rest]), ddof=1))
    if not spread:
        return 0.0
    together = float(np.cov(human, judged, ddof=1)[0, 1])
    return min(max(together / (spread * (1 + human.size / rest.size)), 0.0), 1.0)
