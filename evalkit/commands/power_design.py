"""Describe the design that a threshold has: its limits, looks, and clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from evalkit.compare.scores import group_by_cluster
from evalkit.core.eval_set import Case, Rule
from evalkit.gate.sequential import MAX_LOOK_TRIALS, MIN_BASE_TRIALS_FOR_LOOKS
from evalkit.stats.power import Design, DropLimits


def with_trials(design: Design, trials: int | Literal["auto"]) -> Design:
    """Return the design with a fixed number of trials, or with looks if a run would take them."""
    if trials != "auto":
        return replace(design, trials=trials, looks=0)
    looks = MAX_LOOK_TRIALS if design.base_trials >= MIN_BASE_TRIALS_FOR_LOOKS else 0
    return replace(design, trials=looks or 1, looks=looks)


def count_clusters(rule: Rule, cases: Sequence[Case], counted: int) -> float | None:
    """Return the effective number of independent cases, for a rule about users in general or traffic.

    It is the squared sum of the sizes over the sum of their squares, less for clusters of unequal size or
    weight (Kish 1965).
    """
    if rule.estimand == "suite":
        return None
    shares = [1.0 if rule.mix is None else rule.mix.shares.get(case.id, 0.0) for case in cases]
    groups = group_by_cluster(case.cluster for case in cases)
    sizes = [sum(shares[index] for index in group) for group in groups]
    squares = sum(size**2 for size in sizes)
    return sum(sizes) ** 2 / squares * counted / len(cases) if squares else 0.0


def get_limits(rule: Rule, alpha: float, rules: int) -> DropLimits:
    """Return the limits of one of `rules` thresholds that share `alpha`."""
    max_drop = (rule.max_drop if rule.max_drop is not None else rule.max_rise) or 0.0
    return DropLimits(alpha=alpha / rules, max_drop=max_drop, tolerated=max(max_drop, rule.margin))


def count_sharing(rule: Rule, gate: Sequence[Rule]) -> int:
    """Return how many thresholds share alpha; the primary one has its own (Holm 1979)."""
    if rule.primary:
        return 1
    return max(1, sum(one.is_tested and not one.primary for one in gate))
