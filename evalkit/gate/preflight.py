"""Find the thresholds that no result of a planned run can decide.

The rules are applied to the best and the worst possible result of the run. A rule that cannot fail or
cannot pass is reported before the run costs money.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from evalkit.compare.estimates import QUANTILE_LEVELS, estimate_metric
from evalkit.compare.paired_scores import PairedScores
from evalkit.compare.pairs import pair_scores
from evalkit.compare.scores import CaseScores, ScoreTable
from evalkit.core.errors import NotComparable
from evalkit.core.eval_set import Case, Rule
from evalkit.core.format import format_bound, format_count, format_limit, format_share, name_rule
from evalkit.core.run import MetricInfo
from evalkit.gate.broken_cases import explain_undecidable_breaks, find_detectable_breaks
from evalkit.gate.evidence import decide_paired
from evalkit.gate.limits import decide_limit
from evalkit.gate.paired import measure_change
from evalkit.gate.phrases import format_sample
from evalkit.gate.plans import advise_trials, design_from_baseline
from evalkit.gate.preferences import explain_undecidable_preference
from evalkit.gate.sequential import adjust_rule_for_look
from evalkit.gate.traffic import MISSING_WEIGHTS
from evalkit.stats.group_sequential import simulate_looks, whole_alpha
from evalkit.stats.sample_size import chance_to_pass, critical_value
from evalkit.stats.unchanged import find_trials_to_pass, simulate_unchanged

_WORST_VALUE_FACTOR = 1000.0
"""The worst value is this many times the baseline's largest value, so no run will measure it."""

_RARE = 0.1
"""Below this chance a gate hardly ever passes, and the formula is no more exact than that."""

_WORST_VALUE_JITTER = 1e-6
"""The relative difference of the worst values of two successive trials."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedRun:
    """What a run will measure: its cases, the trials of each, and the metrics of each case by name.

    If `looks` is not 0, it equals `trials`, and every look has a part of alpha.
    """

    cases: tuple[Case, ...]
    trials: int
    metrics: Mapping[str, Mapping[str, MetricInfo]]
    looks: int = 0


def find_undecidable(
    rules: Sequence[Rule], planned: PlannedRun, base: ScoreTable | None
) -> Iterator[str]:
    """Yield a sentence for every threshold that cannot be decided, with a remedy."""
    for original in rules:
        # All trials, at the level of the first look: no look can prove more than that.
        rule = adjust_rule_for_look(original, planned.looks, 1)
        if why := _explain_undecidable(rule, planned, base):
            yield f"{name_rule(rule)}: {why}"


def _explain_undecidable(rule: Rule, planned: PlannedRun, base: ScoreTable | None) -> str:
    """Return why a rule cannot be decided; empty if it can, or if that is unknown."""
    if rule.broken_cases is not None:
        return _explain_unprovable_breaks(rule, planned, base) if base is not None else ""
    if rule.test == "point" or not rule.metric:
        return ""
    if rule.estimand == "traffic":
        if rule.mix is None:
            return f"cannot be decided: {MISSING_WEIGHTS}."
        # Weights cannot make it easier to decide than other cases like these.
        rule = replace(rule, estimand="users")
    if rule.is_tested:
        return _explain_undecidable_change(rule, planned, base) if base is not None else ""
    return _explain_unprovable_limit(rule, planned)


def _with_worst_candidate(rule: Rule, planned: PlannedRun, pairs: PairedScores) -> PairedScores:
    """Return the pairs with the worst value for every trial of the candidate.

    For a quantile the worst values all differ, because equal values are not beyond their quantile.
    """
    is_quantile = rule.stat in QUANTILE_LEVELS
    values = [abs(value) for value in chain(*pairs.base)]
    if rule.max_drop is not None:
        # Not 0, so that the worst values of a quantile can differ.
        least = 1 / _WORST_VALUE_FACTOR if is_quantile else 0.0
        worst = least if not pairs.info.unit else min(values) / _WORST_VALUE_FACTOR
    else:
        worst = 1.0 if not pairs.info.unit else (max(values) or 1.0) * _WORST_VALUE_FACTOR
    jitter = _WORST_VALUE_JITTER if is_quantile else 0.0
    trials = range(planned.trials)
    return replace(
        pairs,
        candidate=tuple(
            tuple(worst * (1 + jitter * (index * planned.trials + trial)) for trial in trials)
            for index in range(len(pairs.cases))
        ),
    )


def _explain_undecidable_change(rule: Rule, planned: PlannedRun, base: ScoreTable) -> str:
    """Return why a comparing rule cannot fail, or cannot pass if nothing changed; empty if it can."""
    if any(m[rule.metric].is_pairwise for m in planned.metrics.values() if rule.metric in m):
        return _explain_undecidable_pairs(rule, planned, base)
    # Compare the baseline with itself, on the planned cases that are unchanged in it.
    again = replace(base, header=replace(base.header, cases=planned.cases))
    try:
        same = pair_scores(base, again, rule.metric, tag=rule.tag, flags=rule.stat == "rate")
        evidence = measure_change(rule, _with_worst_candidate(rule, planned, same))
    except NotComparable:
        return ""
    if decide_paired(evidence) == "fail":
        return _explain_wide_interval(rule, planned, same, evidence.limits.tolerated)
    if evidence.p_value <= rule.alpha:
        allowed = format_limit(evidence.limits.max_drop, same.info.unit)
        return f"cannot fail with any result: the largest possible {evidence.scale.noun} is below the {allowed} allowed."
    clusters = None
    remedy = "Add cases or trials, or use max_regressed"
    if rule.estimand == "users" and evidence.population is not None:
        clusters = evidence.population.clusters
        remedy = "Add cases of other clusters, or set estimand: suite to ask about these cases only"
    return (
        f"cannot fail with any result: on {format_sample(len(same.cases), clusters)} the smallest "
        f"possible p-value is {evidence.p_value:.2g}, and {rule.alpha:g} is needed. {remedy}."
    )


def _explain_undecidable_pairs(rule: Rule, planned: PlannedRun, base: ScoreTable) -> str:
    known = base.cases
    compared = [
        case
        for case in planned.cases
        if case.id in known and known[case.id].digest == case.digest
        if rule.metric in planned.metrics[case.id] and (rule.tag is None or rule.tag in case.tags)
    ]
    return explain_undecidable_preference(rule, len(compared)) if compared else ""


def _explain_wide_interval(
    rule: Rule, planned: PlannedRun, same: PairedScores, tolerated: float
) -> str:
    """Return why a rule cannot pass an unchanged agent, even if all its results are the same."""
    # Only the estimand `suite` has a design. Clusters are added to it below.
    unchanged = measure_change(replace(rule, estimand="suite"), same)
    if unchanged.design is None:
        return ""
    users = unchanged.population if rule.estimand == "users" else None
    clusters = users.clusters if users is not None else None
    design = replace(unchanged.design, trials=planned.trials, clusters=clusters)
    reach = critical_value(design, rule.alpha) * design.se_bound_after(tolerated)
    if reach < tolerated:
        return ""
    limits, advice = unchanged.limits, "See evalkit power."
    if planned.looks:
        design = replace(design, looks=planned.looks)
        limits = replace(limits, alpha=whole_alpha(rule.alpha, 1))
    if clusters is None:
        design = design_from_baseline(design, same.base, is_drop=unchanged.scale.sign < 0)
        chance = simulate_unchanged(design, limits).passed
        advice = f"{advise_trials(design, find_trials_to_pass(design, limits))} {advice}"
    elif planned.looks:
        chance = simulate_looks(design, limits, 0.0).passed
    else:
        chance = chance_to_pass(design, limits)
    if chance >= 0.5:
        return ""
    often, result = "can hardly pass", "even a run without any change is most likely inconclusive"
    if design.mean >= 1:
        often, result = "cannot pass", "even a run without a failure is inconclusive"
    elif chance >= _RARE:
        often = "can seldom pass"
        result = (
            f"an agent that did not change passes in {format_share(chance)} of runs, and most others are "
            f"inconclusive"
        )
    return (
        f"{often}: with {format_sample(design.cases, clusters)}, {design.base_trials:.3g} baseline and "
        f"{format_count(planned.trials, 'candidate trial')} the interval reaches {100 * reach:.1f} pt, but "
        f"only {format_limit(tolerated, '')} is tolerated, so {result}. {advice}"
    )


def _explain_unprovable_breaks(rule: Rule, planned: PlannedRun, base: ScoreTable) -> str:
    """Return why a `broken_cases` rule can prove nothing; empty if it can."""
    known = base.cases
    ids = [c.id for c in planned.cases if c.id in known and known[c.id].digest == c.digest]
    detectable = find_detectable_breaks(base, list(base.infos), rule.alpha, ids)
    return explain_undecidable_breaks(rule, detectable)


def _explain_unprovable_limit(rule: Rule, planned: PlannedRun) -> str:
    """Return why an absolute limit cannot pass, even with the best values; empty if it can."""
    cases = [
        case
        for case in planned.cases
        if rule.metric in planned.metrics[case.id] and (rule.tag is None or rule.tag in case.tags)
    ]
    if not cases or (rule.min is None and rule.max is None):
        return ""
    unit = "" if rule.stat == "rate" else planned.metrics[cases[0].id][rule.metric].unit
    best = _best_value(rule, unit)
    row = (best,) * planned.trials
    perfect = [CaseScores(values=row, flags=row, cluster=case.cluster) for case in cases]
    estimate = estimate_metric(rule, unit, perfect)
    if decide_limit(rule, estimate) == "pass":
        return ""
    limit = rule.min if rule.min is not None else rule.max or 0.0
    word = "at least" if rule.min is not None else "at most"
    clusters = estimate.clusters if estimate.clusters < estimate.cases else None
    sample = format_sample(estimate.cases, clusters)
    remedy = "cases" if clusters is None else "cases of other clusters"
    return (
        f"cannot pass with any result: even perfect results of {sample} cannot prove "
        f"{word} {format_bound(limit, unit)}. Add {remedy}, or use test: point to decide by the value alone."
    )


def _best_value(rule: Rule, unit: str) -> float:
    if not unit:
        return 1.0 if rule.min is not None else 0.0
    return rule.min + abs(rule.min) + 1 if rule.min is not None else (rule.max or 0.0) / 2
