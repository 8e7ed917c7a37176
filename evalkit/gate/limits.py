"""Decide the thresholds with `min` or `max`, from one run's values of a metric."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import ceil, inf, isfinite, log

from evalkit.compare.estimates import QUANTILE_LEVELS, MetricEstimate, estimate_metric
from evalkit.compare.scores import ScoreTable
from evalkit.core.eval_set import Rule
from evalkit.core.format import (
    find_distinct_digits,
    format_bound,
    format_value,
    name_rule,
)
from evalkit.core.gate_result import Check
from evalkit.core.literals import Outcome
from evalkit.gate.evidence import DISPLAY_ALPHA
from evalkit.gate.inputs import find_rule_scores
from evalkit.gate.phrases import finite_or_none, format_interval, format_sample, format_scored
from evalkit.stats.intervals import trials_for_bounds

_ROUNDING = 1e-9
_MAX_ADVISED_CASES = 10_000
"""Nobody would label more prompts than this."""


def check_limit(rule: Rule, table: ScoreTable) -> Check:
    """Decide a rule with `min` or `max`.

    Raises:
        Undecidable: the metric has no value on the cases of the rule.
    """
    estimate = estimate_metric(rule, table.infos[rule.metric].unit, find_rule_scores(rule, table))
    outcome = decide_limit(rule, estimate)
    is_point = rule.test == "point"
    shown = estimate.interval
    if rule.alpha != DISPLAY_ALPHA:
        unit, scores = table.infos[rule.metric].unit, find_rule_scores(rule, table)
        shown = estimate_metric(replace(rule, alpha=DISPLAY_ALPHA), unit, scores).interval
    return Check(
        rule=rule,
        outcome=outcome,
        sentence=_limit_sentence(rule, outcome, estimate),
        candidate=estimate.value,
        low=None if is_point else finite_or_none(estimate.interval.low),
        high=None if is_point else finite_or_none(estimate.interval.high),
        display_low=None if is_point else finite_or_none(shown.low),
        display_high=None if is_point else finite_or_none(shown.high),
        cases=estimate.cases,
        trials=estimate.scored / estimate.cases,
        to_decide=_plan_text(rule, estimate) if outcome == "inconclusive" else "",
    )


def decide_limit(rule: Rule, estimate: MetricEstimate) -> Outcome:
    """Return fail if the whole interval is beyond the limit, pass if it is within, else inconclusive.

    With `test: point` the value itself decides.
    """
    low, high = estimate.interval
    if rule.test == "point":
        # The value is both ends of the interval.
        low = high = estimate.value
    if rule.min is not None:
        allowance = _ROUNDING * max(1.0, abs(rule.min))
        within, beyond = low >= rule.min - allowance, high < rule.min - allowance
    else:
        limit = rule.max if rule.max is not None else inf
        allowance = _ROUNDING * max(1.0, abs(limit))
        within, beyond = high <= limit + allowance, low > limit + allowance
    if beyond:
        return "fail"
    return "pass" if within else "inconclusive"


def _limit_sentence(rule: Rule, outcome: Outcome, estimate: MetricEstimate) -> str:
    unit = estimate.unit
    limit = rule.min if rule.min is not None else rule.max or 0.0
    low, high = estimate.interval
    is_point = rule.test == "point"
    extra = find_distinct_digits(
        [(estimate.value, limit)] if is_point else [(low, limit), (high, limit)],
        lambda number, digits: format_value(number, unit, digits),
    )
    show = partial(format_value, unit=unit, extra=extra)
    interval = "" if is_point else f"{format_interval(rule, low, high, show)}; "
    is_min = rule.min is not None
    side, needs, beyond = ("least", "required", "below") if is_min else ("most", "allowed", "above")
    finding = {
        "fail": f", and the whole interval is {beyond} it",
        "pass": ", and the whole interval is within it",
        "inconclusive": ", and the interval includes it"
        if isfinite(low) or isfinite(high)
        else ", and nothing is proven without an interval",
    }
    is_clustered = estimate.clusters < estimate.cases
    cases = format_sample(estimate.cases, estimate.clusters if is_clustered else None)
    scored = format_scored(estimate.scored, estimate.due, estimate.missing)
    return (
        f"{outcome.upper()} {name_rule(rule)} {show(estimate.value)} ({interval}{cases}, {scored}). "
        f"At {side} {format_bound(limit, unit)} is {needs}{'' if is_point else finding[outcome]}."
    )


def _plan_text(rule: Rule, estimate: MetricEstimate) -> str:
    """Return what would decide an inconclusive limit."""
    cases = _estimate_cases_to_decide(rule, estimate)
    is_clustered = estimate.clusters < estimate.cases
    what = "clusters" if is_clustered else "cases"
    if cases is None:
        return f"The value is too close to its limit, or there are too few {what}, to say how many would decide."
    needed, now = f"{cases:,} cases like these", f"{estimate.cases:,} now"
    if is_clustered:
        clusters = ceil(estimate.clusters * cases / estimate.cases)
        needed += f" in {clusters:,} clusters"
        now = f"{format_sample(estimate.cases, estimate.clusters)} now"
    return f"About {needed} ({now}) would decide, if the value stays the same."


def _estimate_cases_to_decide(rule: Rule, estimate: MetricEstimate) -> int | None:
    """Return about how many cases would put the whole interval on one side of the limit.

    This assumes that the value stays the same, and that the width of the interval falls with the square
    root of the number of cases. If no trial, or every trial, passed, the bound of Clopper and Pearson (1934)
    is instead alpha to the power 1/n. None if it would take too many.
    """
    limit = rule.min if rule.min is not None else rule.max
    value = estimate.value
    if limit is None or value == limit:
        return None
    bound = estimate.interval.high if value < limit else estimate.interval.low
    # The shares of trials unlike all of these that the bound and the limit still allow.
    left, allowed = abs(bound - value), abs(limit - value)
    is_perfect = not estimate.unit and value in (0.0, 1.0)
    if is_perfect and 0 < left < 1 and allowed < 1:
        needed = ceil(estimate.cases * log(1 - left) / log(1 - allowed))
    elif isfinite(bound):
        needed = ceil(estimate.cases * (left / allowed) ** 2)
    elif rule.stat in QUANTILE_LEVELS:
        draws = trials_for_bounds(QUANTILE_LEVELS[rule.stat], rule.alpha)
        needed = ceil(draws * estimate.cases / estimate.clusters)
    else:
        return None
    return needed if estimate.cases < needed <= _MAX_ADVISED_CASES else None
