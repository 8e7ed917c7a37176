"""Measure a change on the cases of a set as production would see it: each weighed by its share of traffic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from math import sqrt

import numpy as np

from evalkit.compare.estimates import TrialValues, mean_of_means
from evalkit.compare.paired_scores import PairedScores
from evalkit.compare.scores import group_by_cluster, mean
from evalkit.core.errors import Undecidable
from evalkit.core.eval_set import Rule, TrafficMix
from evalkit.core.format import format_change, format_count, format_value
from evalkit.gate.evidence import DISPLAY_ALPHA, Evidence, HarmScale, choose_scale, drop_limits_of
from evalkit.gate.hits import find_hits
from evalkit.stats.distributions import Floats, t_quantile
from evalkit.stats.intervals import Interval, mean_interval
from evalkit.stats.power import find_detectable_shift, z_quantile
from evalkit.stats.score_exchange_test import ScoreExchangeTest, run_score_exchange_test
from evalkit.stats.sign_flip_test import SignFlipTest, run_sign_flip_test

MIN_DRAWS = 30
"""With fewer independent requests that resemble a case, their mix says nothing."""

MAX_UNWEIGHTED = 0.1
"""The largest share of cases that may be newer than the weights."""

MAX_LOST = 0.1
"""The largest share of the weights that may belong to cases that were not compared."""

MAX_AGE_DAYS = 62
"""Older weights are those of another season, which a note says."""

MISSING_WEIGHTS = "no weights of traffic are stored for this set. Make them with evalkit traffic weigh SET --traffic NAME"


def measure_for_traffic(rule: Rule, pairs: PairedScores, level: float) -> Evidence:
    """Measure a rule with `max_drop` or `max_rise`, with each case weighed by its share of traffic.

    The estimate is post-stratified: the sum over cases of share times change (Holt and Smith 1979). Its
    p-value is the larger of two: from exchanging the trials of each case, which is exact for these cases,
    and from flipping the signs of whole clusters, weighed alike. The interval is the wider one of both,
    and widened by the sampling error of the shares.

    Args:
        rule: the rule with its weights.
        pairs: the values of both runs.
        level: the level of the p-value if several thresholds share alpha.

    Raises:
        NotComparable: the change cannot be expressed as a share of the baseline.
        Undecidable: there are no weights for these cases, or too few requests resemble one.
    """
    mix, shares = _find_shares(rule, pairs)
    weights = shares / shares.sum()
    scale = choose_scale(rule, pairs, mean_of_means(pairs.base), by_case=True)
    before, after = (_scale_rows(rows, scale) for rows in (pairs.base, pairs.candidate))
    harms = np.array([mean(row) for row in after]) - np.array([mean(row) for row in before])
    harm = float(weights @ harms)
    base, candidate = (_average_rows(rows, weights, scale) for rows in (before, after))
    scaled = weights * weights.size
    # The mean over cases of the weighed values is the sum over cases of weight times value.
    exchanged = run_score_exchange_test(
        *(list(map(np.multiply, scaled, rows)) for rows in (before, after))
    )
    groups = group_by_cluster(case.cluster for case in pairs.cases)
    test = _flip_clusters(harms * scaled, groups, exchanged)
    # Weights are no noise: only what a case differs from the mean change is.
    centered = harm + (harms - harm) * scaled
    # The shares are those of a multinomial sample of the requests that resemble these cases.
    mix_se = sqrt(float(weights @ (harms - harm) ** 2) / (mix.draws * float(shares.sum())))

    def bounds_at(alpha: float) -> Interval:
        return _widen(harm, mean_interval(centered, groups, alpha), exchanged, mix_se, alpha)

    bounds = bounds_at(rule.alpha)
    limits = drop_limits_of(rule, scale, base, level)
    se = (bounds.high - harm) / z_quantile(rule.alpha)
    return Evidence(
        pairs=pairs,
        scale=scale,
        limits=limits,
        base=base,
        candidate=candidate,
        harm=harm,
        bounds=bounds,
        display=bounds_at(DISPLAY_ALPHA),
        p_value=test.p_value,
        p_unweighted=test.p_value,
        smallest_p=test.smallest_p,
        false_alarm=rule.alpha if test.smallest_p <= rule.alpha else 0.0,
        detectable_harm=find_detectable_shift(se, limits) if test.smallest_p <= level else None,
        hits=find_hits(pairs, harms * scaled),
    )


def describe_weights(rule: Rule, evidence: Evidence) -> Iterator[str]:
    """Yield what the weights cover, and the change without them."""
    mix, pairs, scale = rule.mix, evidence.pairs, evidence.scale
    if mix is None:
        return
    before, after = (
        mean(mean(map(scale.to_scale, row)) for row in rows)
        for rows in (pairs.base, pairs.candidate)
    )
    compared = sum(mix.shares.get(case.id, 0.0) for case in pairs.cases)
    plain = format_change(scale.as_change(scale.sign * (after - before)), pairs.info.unit)
    yield (
        f"{format_value(compared, '')} of {format_count(mix.requests, 'request')} from {mix.since} to "
        f"{mix.until} resemble a case ({mix.method}), and about the others this says nothing. With all "
        f"cases alike, the change is {plain}."
    )
    if new := sum(case.id not in mix.shares for case in pairs.cases):
        yield f"{format_count(new, 'case')} newer than the weights {'has' if new == 1 else 'have'} none."


def find_old_weights(rules: Iterable[Rule], today: str) -> Iterator[str]:
    """Yield a note if weights are old on a day, given as ISO 8601."""
    for until in dict.fromkeys(rule.mix.until for rule in rules if rule.mix is not None):
        days = (date.fromisoformat(today[:10]) - date.fromisoformat(until)).days
        if days > MAX_AGE_DAYS:
            yield (
                f"The weights of estimand: traffic end {days} days before this run. Weigh again: "
                f"evalkit traffic weigh SET --traffic NAME"
            )


def count_matched_draws(mix: TrafficMix) -> float:
    """Return the number of independent requests that resemble a case."""
    return mix.draws * (1 - mix.unmatched)


def _find_shares(rule: Rule, pairs: PairedScores) -> tuple[TrafficMix, Floats]:
    """Return the mix, and the shares of the compared cases, shape (cases,), which are not all 0."""
    mix = rule.mix
    if mix is None:
        raise Undecidable(MISSING_WEIGHTS)
    if count_matched_draws(mix) < MIN_DRAWS:
        raise Undecidable(
            f"the requests that resemble a case are worth {count_matched_draws(mix):.0f} independent ones, "
            f"and {MIN_DRAWS} are needed. Import more traffic, and weigh again"
        )
    new = [case.id for case in pairs.cases if case.id not in mix.shares]
    if len(new) > MAX_UNWEIGHTED * len(pairs.cases):
        raise Undecidable(
            f"{len(new)} of {format_count(len(pairs.cases), 'case')} have no weight, because they are newer "
            f"than the weights. Weigh again: evalkit traffic weigh SET --traffic NAME"
        )
    shares = np.array([mix.shares.get(case.id, 0.0) for case in pairs.cases])
    if not shares.any():
        raise Undecidable("no request resembles any of these cases")
    # A threshold for a tag is about a part of the traffic on purpose.
    known = sum(mix.shares.values())
    lost = 0.0 if rule.tag is not None else 1 - float(shares.sum()) / known
    if lost > MAX_LOST:
        compared = {case.id for case in pairs.cases}
        gone = [
            id_
            for id_ in sorted(mix.shares, key=lambda id_: -mix.shares[id_])
            if id_ not in compared
        ]
        raise Undecidable(
            f"{format_value(lost, '')} of the requests that resemble a case resemble one that was not compared, "
            f"such as {gone[0]!r}. Compare it too, or weigh again: evalkit traffic weigh SET --traffic NAME"
        )
    return mix, shares


def _scale_rows(rows: TrialValues, scale: HarmScale) -> list[Floats]:
    return [scale.sign * np.array([scale.to_scale(value) for value in row]) for row in rows]


def _average_rows(rows: Sequence[Floats], weights: Floats, scale: HarmScale) -> float:
    """Return the weighted mean of the cases' means, in the metric's unit."""
    means = np.array([mean(row) for row in rows])
    return scale.from_scale(scale.sign * float(weights @ means))


def _flip_clusters(
    harms: Floats, groups: Sequence[Sequence[int]], exchanged: ScoreExchangeTest
) -> SignFlipTest:
    """Return the less certain one of two tests: with flipped signs of clusters, and with exchanged trials."""
    flipped = run_sign_flip_test(np.array([float(harms[list(group)].sum()) for group in groups]))
    return SignFlipTest(
        max(flipped.p_value, exchanged.p_value), max(flipped.smallest_p, exchanged.smallest_p)
    )


def _widen(
    harm: float, cases: Interval, exchanged: ScoreExchangeTest, mix_se: float, alpha: float
) -> Interval:
    """Return the interval that includes both intervals, widened by the error of the shares."""
    z = z_quantile(alpha)
    of_trials = t_quantile(alpha, int(min(max(exchanged.freedom, 1.0), 1000.0))) * exchanged.se

    def reach(bound: float) -> float:
        return sqrt(max(abs(bound - harm), of_trials) ** 2 + (z * mix_se) ** 2)

    return Interval(harm - reach(cases.low), harm + reach(cases.high))
