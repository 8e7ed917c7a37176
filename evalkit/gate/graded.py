"""Measure the change of a graded metric between two runs: a judge's score, seconds, US dollars, tokens."""

from __future__ import annotations

from itertools import chain
from math import floor

import numpy as np

from evalkit.compare.estimates import mean_of_means
from evalkit.compare.paired_scores import PairedScores
from evalkit.compare.scores import mean
from evalkit.core.eval_set import Rule
from evalkit.gate.evidence import DISPLAY_ALPHA, Evidence, HarmScale, choose_scale, drop_limits_of
from evalkit.gate.hits import find_hits
from evalkit.gate.population import estimate_for_users
from evalkit.stats.distributions import t_quantile
from evalkit.stats.exchange_test import bound_noise
from evalkit.stats.intervals import Interval
from evalkit.stats.power import Design, bound_drop, find_detectable_drop, find_detectable_shift
from evalkit.stats.score_exchange_test import ScoreExchangeTest, run_score_exchange_test
from evalkit.stats.sign_flip_test import SignFlipTest

_MAX_FREEDOM = 1000
"""With more degrees of freedom, Student's quantile is the normal one to .1 %."""


def measure_graded(rule: Rule, pairs: PairedScores, level: float) -> Evidence:
    """Measure a rule on the means of a metric that is not 0 or 1; `level` is that of the p-value.

    The test exchanges the trials of each case, and its standard error comes from the same trials. For
    scores from 0 to 1, the upper bound of the harm is that of an agent in which some trials score 0, as
    for pass rates. For others it is Student's, with the degrees of freedom of the standard error.

    Raises:
        NotComparable: the change cannot be expressed as a share of the baseline.
    """
    scale = choose_scale(rule, pairs, mean_of_means(pairs.base), by_case=True)
    before, after = (
        [scale.sign * np.array([scale.to_scale(value) for value in row]) for row in rows]
        for rows in (pairs.base, pairs.candidate)
    )
    base, candidate = (mean(map(mean, rows)) for rows in (before, after))
    start = scale.from_scale(scale.sign * base)
    limits = drop_limits_of(rule, scale, start, level)
    harms = np.array([mean(new) - mean(old) for old, new in zip(before, after, strict=True)])
    test = run_score_exchange_test(before, after)
    harm = mean(harms)
    design = _design_of_shares(pairs, scale, test)

    def bounds_at(alpha: float) -> Interval:
        z = t_quantile(alpha, floor(min(max(test.freedom, 1.0), _MAX_FREEDOM)))
        if design is None:
            return Interval(harm - z * test.se, harm + z * test.se)
        return Interval(max(-1.0, harm - z * test.se), min(1.0, bound_drop(design, harm, z)))

    if design is not None:
        detectable = find_detectable_drop(design, limits)
    else:
        detectable = find_detectable_shift(test.se, limits) if test.smallest_p <= level else None
    return Evidence(
        pairs=pairs,
        scale=scale,
        limits=limits,
        base=start,
        candidate=scale.from_scale(scale.sign * candidate),
        harm=harm,
        bounds=bounds_at(rule.alpha),
        display=bounds_at(DISPLAY_ALPHA),
        p_value=test.p_value,
        p_unweighted=test.p_value,
        smallest_p=test.smallest_p,
        false_alarm=test.false_alarm(rule.alpha),
        detectable_harm=detectable,
        hits=find_hits(pairs, harms),
        design=design,
        population=estimate_for_users(
            pairs.cases,
            harms,
            rule.alpha,
            suite=bounds_at(rule.alpha),
            suite_test=SignFlipTest(test.p_value, test.smallest_p),
        ),
    )


def _design_of_shares(
    pairs: PairedScores, scale: HarmScale, test: ScoreExchangeTest
) -> Design | None:
    """Return the design of a comparison of scores from 0 to 1; None for other scores."""
    values = list(chain(*pairs.base, *pairs.candidate))
    if pairs.info.unit or min(values) < 0.0 or max(values) > 1.0:
        return None
    # For a rise, the distance to 1 counts as the score, so that the formulas for a drop apply.
    means = np.array([mean(row) if scale.sign < 0 else 1 - mean(row) for row in pairs.base])
    cases = len(pairs.cases)
    return Design(
        cases=cases,
        base_trials=1 / mean(1 / len(row) for row in pairs.base),
        trials=1 / mean(1 / len(row) for row in pairs.candidate),
        mean=float(np.mean(means)),
        noise=bound_noise(test.noise, cases),
        mean_square=float(np.mean(means**2)),
    )
