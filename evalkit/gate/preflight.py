"""A planned run and its baseline into the thresholds that no result of it could decide.

The best and the worst result that can come are put before the very rules that will judge it: what
fails in neither, or passes in neither, is not worth its money.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from evalkit.compare.estimates import QUANTILE_LEVELS, estimate_metric
from evalkit.compare.pairs import PairedScores
from evalkit.compare.scores import CaseScores, ScoreTable
from evalkit.core.errors import NotComparable
from evalkit.core.eval_set import Case, Rule
from evalkit.core.format import format_bound, format_count, format_limit, name_rule
from evalkit.core.run import MetricInfo
from evalkit.gate.absolute import decide_absolute
from evalkit.gate.broken_cases import explain_undecidable_breaks, find_detectable_breaks
from evalkit.gate.decide import adjust_rule_for_look
from evalkit.gate.evidence import decide_paired
from evalkit.gate.paired import measure_change
from evalkit.stats.sample_size import critical_value

_WORST_VALUE_FACTOR = 1000.0
"""So many times the baseline's largest value is worse than anything that will be measured."""

_WORST_VALUE_JITTER = 1e-6
"""By what part of itself the worst value differs from one trial to the next."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedRun:
    """What a run is going to measure: its cases, trials of each, and each case's metrics by name.

    With `looks`, which are the same number, each is held to less of alpha.
    """

    cases: tuple[Case, ...]
    trials: int
    metrics: Mapping[str, Mapping[str, MetricInfo]]
    looks: int = 0


def find_undecidable(
    rules: Sequence[Rule], planned: PlannedRun, base: ScoreTable | None
) -> Iterator[str]:
    """One line for every threshold that cannot be decided, with what would make it decidable."""
    for asked in rules:
        # The last look has the most trials to prove anything by, the first the largest level.
        rule = adjust_rule_for_look(asked, planned.looks, 1)
        if rule.broken_cases is not None:
            why = _explain_unprovable_breaks(rule, planned, base) if base is not None else ""
            if why:
                yield f"{name_rule(rule)}: {why}"
            continue
        if rule.test == "point" or not rule.metric:
            continue
        if rule.max_drop is not None or rule.max_rise is not None:
            why = _explain_undecidable_change(rule, planned, base) if base is not None else ""
        else:
            why = _explain_unprovable_limit(rule, planned)
        if why:
            yield f"{name_rule(rule)}: {why}"


def _pair_with_worst(
    rule: Rule, planned: PlannedRun, base: ScoreTable, worst: float | None
) -> PairedScores | None:
    """The baseline beside a candidate of nothing but the worst value; beside itself without one.

    For a quantile no two of the worst values are equal: none of a tie lies beyond the quantile.
    """
    apart = _WORST_VALUE_JITTER if rule.stat in QUANTILE_LEVELS else 0.0
    known = base.cases
    rows = []
    info = base.infos.get(rule.metric, MetricInfo(name=rule.metric))
    for case in planned.cases:
        scores = base.scores.get(rule.metric, {}).get(case.id)
        if scores is None or known[case.id].digest != case.digest:
            continue
        values = scores.flags if rule.stat == "rate" else scores.values
        if values and (rule.tag is None or rule.tag in case.tags):
            rows.append((case, values))
    if not rows:
        return None
    return PairedScores(
        info=replace(info, unit="") if rule.stat == "rate" else info,
        cases=tuple(case for case, _ in rows),
        base=tuple(values for _, values in rows),
        candidate=tuple(
            values
            if worst is None
            else tuple(
                worst * (1 + apart * (index * planned.trials + trial))
                for trial in range(planned.trials)
            )
            for index, (_, values) in enumerate(rows)
        ),
    )


def _worst_value(rule: Rule, pairs: PairedScores) -> float:
    values = [abs(value) for value in chain(*pairs.base)]
    if rule.max_drop is not None:
        # Not quite the least share there is, so that values of a quantile can differ.
        least = 1 / _WORST_VALUE_FACTOR if rule.stat in QUANTILE_LEVELS else 0.0
        return least if not pairs.info.unit else min(values) / _WORST_VALUE_FACTOR
    return 1.0 if not pairs.info.unit else (max(values) or 1.0) * _WORST_VALUE_FACTOR


def _explain_undecidable_change(rule: Rule, planned: PlannedRun, base: ScoreTable) -> str:
    """Why a rule that compares can neither fail nor, when nothing changed, pass; empty when it can."""
    same = _pair_with_worst(rule, planned, base, None)
    if same is None:
        return ""
    worst = _pair_with_worst(rule, planned, base, _worst_value(rule, same))
    if worst is None:
        return ""
    try:
        evidence = measure_change(rule, worst)
    except NotComparable:
        return ""
    cases = format_count(len(worst.cases), "case")
    if decide_paired(evidence) != "fail":
        if evidence.p_value > rule.alpha:
            remedy = "Add cases or trials, or use max_regressed"
            if rule.estimand == "users" and evidence.population is not None:
                cases = f"{cases} in {format_count(evidence.population.clusters, 'cluster')}"
                remedy = "Add cases of other clusters, or ask about these cases (estimand: suite)"
            return (
                f"cannot fail, whatever comes out: on {cases} the smallest p-value there can be is "
                f"{evidence.p_value:.2g}, and {rule.alpha:g} is needed. {remedy}."
            )
        return (
            f"cannot fail, whatever comes out: there is less to lose than the "
            f"{format_limit(evidence.limits.max_drop, worst.info.unit)} that it allows."
        )
    return _explain_wide_interval(rule, planned, same, evidence.limits.tolerated)


def _explain_wide_interval(
    rule: Rule, planned: PlannedRun, same: PairedScores, tolerated: float
) -> str:
    """Why an unchanged agent would not be proven to pass, even if not one number changed."""
    unchanged = measure_change(replace(rule, estimand="suite"), same)
    if unchanged.design is None:
        return ""
    users = unchanged.population if rule.estimand == "users" else None
    design = replace(
        unchanged.design,
        trials=planned.trials,
        clusters=users.clusters if users is not None else None,
    )
    reach = critical_value(design, rule.alpha) * design.se_bound_after(tolerated)
    if reach < tolerated:
        return ""
    cases = format_count(design.cases, "case")
    if users is not None:
        cases = f"{cases} in {format_count(users.clusters, 'cluster')}"
    return (
        f"can hardly pass: with {cases}, {design.base_trials:.3g} baseline "
        f"and {format_count(planned.trials, 'candidate trial')} the interval reaches "
        f"{100 * reach:.1f} pt, and only {format_limit(tolerated, '')} is tolerated, so that even a run "
        f"without any change is inconclusive. See evalkit power."
    )


def _explain_unprovable_breaks(rule: Rule, planned: PlannedRun, base: ScoreTable) -> str:
    """Why a rule on broken cases can prove nothing; empty when it can."""
    known = base.cases
    ids = [c.id for c in planned.cases if c.id in known and known[c.id].digest == c.digest]
    return explain_undecidable_breaks(
        rule, find_detectable_breaks(base, list(base.infos), rule.alpha, ids)
    )


def _explain_unprovable_limit(rule: Rule, planned: PlannedRun) -> str:
    """Why an absolute limit cannot pass, even if every value is the best there is; else empty."""
    infos = [
        planned.metrics[case.id][rule.metric]
        for case in planned.cases
        if rule.metric in planned.metrics[case.id] and (rule.tag is None or rule.tag in case.tags)
    ]
    if not infos or (rule.min is None and rule.max is None):
        return ""
    unit = "" if rule.stat == "rate" else infos[0].unit
    best = _best_value(rule, unit)
    one = CaseScores(values=(best,) * planned.trials, flags=(best,) * planned.trials)
    reading = estimate_metric(rule, unit, [one] * len(infos))
    if decide_absolute(rule, reading) == "pass":
        return ""
    limit = rule.min if rule.min is not None else rule.max or 0.0
    word = "at least" if rule.min is not None else "at most"
    return (
        f"cannot pass, whatever comes out: {format_count(len(infos), 'case')}, however good, cannot prove "
        f"{word} {format_bound(limit, unit)}. Add cases, or use test: point for the bare number."
    )


def _best_value(rule: Rule, unit: str) -> float:
    if not unit:
        return 1.0 if rule.min is not None else 0.0
    return rule.min + abs(rule.min) + 1 if rule.min is not None else (rule.max or 0.0) / 2
