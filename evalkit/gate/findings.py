"""Say what a comparison proves, rules out, or leaves open, and why its numbers may seem to disagree."""

from __future__ import annotations

from typing import Literal

from evalkit.compare.estimates import QUANTILE_LEVELS
from evalkit.core.eval_set import Rule
from evalkit.core.format import format_bound, format_limit, format_odds, format_value
from evalkit.core.literals import Outcome
from evalkit.gate.evidence import Evidence, PointComparison, min_relevant_harm

_NOTABLE_RATIO = 2.0
"""If two p-values of one result differ by this factor, both are shown."""


def describe_limit(rule: Rule, compared: Evidence | PointComparison, limit: float) -> str:
    """Return a limit on harm in the unit of the rule: a share, points, or `and_at_least` if it is larger."""
    scale, unit = compared.scale, compared.pairs.info.unit
    size = format_limit(abs(scale.as_change(limit)), unit)
    if rule.and_at_least is not None and limit == min_relevant_harm(rule, scale, compared.base):
        size = format_bound(rule.and_at_least, unit)
    return f"{scale.noun} of {size}"


def describe_finding(rule: Rule, outcome: Outcome, evidence: Evidence) -> str:
    """Return what a comparison proves, rules out, or leaves undetermined."""
    if outcome == "fail":
        odds = _describe_odds(evidence)
        return f"{odds[0].upper()}{odds[1:]}.{_explain_interval(evidence, 'includes')}"
    if outcome == "pass":
        tolerated = describe_limit(rule, evidence, evidence.limits.tolerated)
        impossible = explain_impossible_harm(rule, evidence)
        return f"A {tolerated} is ruled out{f', but {impossible}' if impossible else '.'}"
    is_odd = evidence.bounds.low > 0 and evidence.p_value > rule.alpha
    why = _explain_interval(evidence, "excludes") if is_odd else ""
    return f"{_explain_inconclusive(rule, evidence)}.{why}"


def explain_impossible_harm(rule: Rule, evidence: Evidence) -> str:
    """Return that no result could fail, because the baseline is too close to the worst value; else empty."""
    scale, base = evidence.scale, evidence.base
    if evidence.pairs.info.unit or evidence.design is None:
        return ""
    most = base if scale.sign < 0 else 1.0 - base
    allowed = evidence.limits.max_drop
    if most > 0 and most >= allowed:
        return ""
    value = format_value(base, "")
    limit = describe_limit(rule, evidence, allowed).replace(f"{scale.noun} of ", "")
    how = f"{scale.noun} at all" if most <= 0 else f"{scale.noun} by {limit}"
    instead = "min" if scale.sign < 0 else "max"
    return (
        f"the baseline is at {value}, so it cannot {how}, and no result could fail. Use {instead}."
    )


def _describe_odds(evidence: Evidence) -> str:
    """Return how often a result this bad would come up by chance.

    The test weighs failures by how stable each case was, so its p-value is not always that of the printed
    difference. If the two differ notably, or only one of them is a proof, both are shown.
    """
    p_value = min(evidence.p_value, evidence.p_bound)
    plain, alpha = evidence.p_unweighted, evidence.limits.alpha
    chance = format_odds(p_value, alpha)
    if evidence.p_value <= evidence.smallest_p:
        chance = chance.replace("about", "at most")
    odds = f"if nothing had changed, a result this bad would come up {chance}"
    ratio = max(p_value, plain) / max(min(p_value, plain), 1e-12)
    alone = format_odds(plain, alpha)
    is_alike = ratio < _NOTABLE_RATIO and (p_value <= alpha) == (plain <= alpha)
    if is_alike or alone in odds:
        return odds
    return f"weighed by how stable each case was, {odds} (the plain difference alone: {alone})"


def _explain_interval(evidence: Evidence, verb: Literal["includes", "excludes"]) -> str:
    """Return why the interval includes 0 or excludes it, unlike the test; empty if it does not do so."""
    if (evidence.bounds.low > 0) == (verb == "includes"):
        return ""
    if evidence.p_value != evidence.p_unweighted:
        why = "it is of the plain difference, where all cases count alike"
    else:
        why = "it is approximate, and the test is exact"
    return f" The interval {verb} 0 because {why}."


def _explain_inconclusive(rule: Rule, evidence: Evidence) -> str:
    """Return the most important reason why a comparison is inconclusive."""
    limits, p_value, noun = evidence.limits, evidence.p_value, evidence.scale.noun
    allowed, tolerated = (
        describe_limit(rule, evidence, limit) for limit in (limits.max_drop, limits.tolerated)
    )
    shared = ""
    if limits.alpha != rule.alpha:
        sharing = round(rule.alpha / limits.alpha)
        shared = f" (alpha {rule.alpha:g} is shared by {sharing} thresholds)"
    odds = _describe_odds(evidence)
    if _is_spotless(evidence):
        failed = "failed" if evidence.scale.sign < 0 else "passed"
        return f"No trial {failed} in either run, but with so few trials a {tolerated} is not ruled out"
    if evidence.smallest_p > limits.alpha:
        why = "so few cases that differ between the runs cannot prove one"
        if evidence.preference is not None:
            why = "so few cases that are won or lost cannot prove one"
        elif evidence.design is not None:
            what = "failures" if evidence.scale.sign < 0 else "passes"
            why = f"so few {what} cannot prove one, even if all of them are in this run"
        return (
            f"A {tolerated} is not ruled out, and {why}: the smallest possible p-value is "
            f"{evidence.smallest_p:.2g}, and {limits.alpha:.3g} is needed{shared}"
        )
    is_near = p_value <= rule.alpha or evidence.looks > 0
    if is_near and p_value > limits.alpha and evidence.is_large and evidence.leans_worse:
        needed = format_odds(limits.alpha, 1).removeprefix("about ")
        at_look = f" at this look, one of up to {evidence.looks}" if evidence.looks else ""
        return (
            f"The {noun} is not proven: {odds}, and less than {needed} is needed{at_look}{shared}"
        )
    if evidence.is_ruled_out:
        return f"A {tolerated} is ruled out, but a {allowed} is not, and it may be real: {odds}"
    if evidence.is_offset_by_gains:
        return (
            f"A {tolerated} is not ruled out, and none is proven, because stable cases got worse but "
            f"others got better: {odds}"
        )
    # A case is flaky by its passes, not by the trials beyond a quantile.
    if evidence.p_unweighted <= limits.alpha < p_value and rule.stat not in QUANTILE_LEVELS:
        return (
            f"A {tolerated} is not ruled out, and none is proven, because most cases that got worse "
            f"were flaky before: {odds}"
        )
    if evidence.leans_worse and p_value <= limits.alpha:
        return (
            f"It is worse, though by less than the {allowed} allowed: {odds}; a {tolerated} is not ruled "
            f"out"
        )
    return f"A {tolerated} is not ruled out, and none is proven: {odds}"


def _is_spotless(evidence: Evidence) -> bool:
    """Return whether all trials of both runs have the best value of a pass rate."""
    best = 1.0 if evidence.scale.sign < 0 else 0.0
    return evidence.design is not None and evidence.base == evidence.candidate == best
