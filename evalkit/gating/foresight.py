"""A planned run and its baseline into the thresholds that no result of it could decide.

The best and the worst result that can come are put before the very rules that will judge it: what
fails in neither, or passes in neither, is not worth its money.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from evalkit.compare import PairedScores
from evalkit.errors import NotComparable
from evalkit.gating.broken import find_blind_spot, watch_stable
from evalkit.gating.evidence import judge_evidence
from evalkit.gating.gate import at_one_look
from evalkit.gating.limits import judge_reading, read_value
from evalkit.gating.scale import LEVELS
from evalkit.gating.weighing import weigh_evidence
from evalkit.records import Case, MetricInfo, Rule
from evalkit.samples import CaseScores, ScoreTable
from evalkit.spelling import bound_text, count_of, limit_text, name_rule
from evalkit.statistics.sizing import reach_of

_FAR = 1000.0
"""So many times the baseline's largest value is worse than anything that will be measured."""

_APART = 1e-6
"""By what part of itself the worst value differs from one trial to the next."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """What a run is going to measure: its cases, trials of each, and each case's metrics by name.

    With `looks`, which are the same number, each is held to less of alpha.
    """

    cases: tuple[Case, ...]
    trials: int
    metrics: Mapping[str, Mapping[str, MetricInfo]]
    looks: int = 0


def foresee(rules: Sequence[Rule], planned: Planned, base: ScoreTable | None) -> Iterator[str]:
    """One line for every threshold that cannot be decided, with what would make it decidable."""
    for asked in rules:
        # The last look has the most trials to prove anything by, the first the largest level.
        rule = at_one_look(asked, planned.looks, 1)
        if rule.broken_cases is not None:
            why = _find_unwatched(rule, planned, base) if base is not None else ""
            if why:
                yield f"{name_rule(rule)}: {why}"
            continue
        if rule.test == "point" or not rule.metric:
            continue
        if rule.max_drop is not None or rule.max_rise is not None:
            why = _find_blindness(rule, planned, base) if base is not None else ""
        else:
            why = _find_unprovable(rule, planned)
        if why:
            yield f"{name_rule(rule)}: {why}"


def _pair_with(
    rule: Rule, planned: Planned, base: ScoreTable, worst: float | None
) -> PairedScores | None:
    """The baseline beside a candidate of nothing but the worst value; beside itself without one.

    For a quantile no two of the worst values are equal: none of a tie lies beyond the quantile.
    """
    apart = _APART if rule.stat in LEVELS else 0.0
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
        least = 1 / _FAR if rule.stat in LEVELS else 0.0
        return least if not pairs.info.unit else min(values) / _FAR
    return 1.0 if not pairs.info.unit else (max(values) or 1.0) * _FAR


def _find_blindness(rule: Rule, planned: Planned, base: ScoreTable) -> str:
    """Why a rule that compares can neither fail nor, when nothing changed, pass; empty when it can."""
    same = _pair_with(rule, planned, base, None)
    if same is None:
        return ""
    worst = _pair_with(rule, planned, base, _worst_value(rule, same))
    if worst is None:
        return ""
    try:
        evidence = weigh_evidence(rule, worst)
    except NotComparable:
        return ""
    cases = count_of(len(worst.cases), "case")
    if judge_evidence(evidence) != "fail":
        if evidence.p_value > rule.alpha:
            remedy = "Add cases or trials, or use max_regressed"
            if rule.estimand == "users" and evidence.users is not None:
                cases = f"{cases} in {count_of(evidence.users.clusters, 'cluster')}"
                remedy = "Add cases of other clusters, or ask about these cases (estimand: suite)"
            return (
                f"cannot fail, whatever comes out: on {cases} the smallest p-value there can be is "
                f"{evidence.p_value:.2g}, and {rule.alpha:g} is needed. {remedy}."
            )
        return (
            f"cannot fail, whatever comes out: there is less to lose than the "
            f"{limit_text(evidence.demand.max_drop, worst.info.unit)} that it allows."
        )
    return _find_wide_interval(rule, planned, same, evidence.demand.tolerated)


def _find_wide_interval(rule: Rule, planned: Planned, same: PairedScores, tolerated: float) -> str:
    """Why an unchanged agent would not be proven to pass, even if not one number changed."""
    unchanged = weigh_evidence(replace(rule, estimand="suite"), same)
    if unchanged.design is None:
        return ""
    users = unchanged.users if rule.estimand == "users" else None
    design = replace(
        unchanged.design,
        trials=planned.trials,
        clusters=users.clusters if users is not None else None,
    )
    reach = reach_of(design, rule.alpha) * design.se_if_lost(tolerated)
    if reach < tolerated:
        return ""
    cases = count_of(design.cases, "case")
    if users is not None:
        cases = f"{cases} in {count_of(users.clusters, 'cluster')}"
    return (
        f"can hardly pass: with {cases}, {design.base_trials:.3g} baseline "
        f"and {count_of(planned.trials, 'candidate trial')} the interval reaches "
        f"{100 * reach:.1f} pt, and only {limit_text(tolerated, '')} is tolerated, so that even a run "
        f"without any change is inconclusive. See evalkit power."
    )


def _find_unwatched(rule: Rule, planned: Planned, base: ScoreTable) -> str:
    """Why a rule on broken cases can prove nothing; empty when it can."""
    known = base.cases
    ids = [c.id for c in planned.cases if c.id in known and known[c.id].digest == c.digest]
    return find_blind_spot(rule, watch_stable(base, list(base.infos), rule.alpha, ids))


def _find_unprovable(rule: Rule, planned: Planned) -> str:
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
    reading = read_value(rule, unit, [one] * len(infos))
    if judge_reading(rule, reading) == "pass":
        return ""
    limit = rule.min if rule.min is not None else rule.max or 0.0
    word = "at least" if rule.min is not None else "at most"
    return (
        f"cannot pass, whatever comes out: {count_of(len(infos), 'case')}, however good, cannot prove "
        f"{word} {bound_text(limit, unit)}. Add cases, or use test: point for the bare number."
    )


def _best_value(rule: Rule, unit: str) -> float:
    if not unit:
        return 1.0 if rule.min is not None else 0.0
    return rule.min + abs(rule.min) + 1 if rule.min is not None else (rule.max or 0.0) / 2
