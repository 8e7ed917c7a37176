"""Compute the drop that each plan for a budget detects, from the noise of the baseline."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from evalkit.commands.power_curves import compute_detectable_drop, is_small
from evalkit.commands.power_design import count_clusters, count_sharing, get_limits
from evalkit.commands.power_threshold import choose_threshold
from evalkit.compare.pairs import pair_scores
from evalkit.compare.scores import ScoreTable
from evalkit.core.errors import InvalidInput, NotComparable
from evalkit.core.eval_set import Case, EvalSet, Rule
from evalkit.core.run_budget import TrialPlan
from evalkit.gate.paired import measure_change
from evalkit.stats.allotment import Allotment
from evalkit.stats.group_sequential import simulate_looks
from evalkit.stats.power import Design, DropLimits, chance_to_fail, find_detectable_drop


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetCurve:
    """The drops that the plans for one threshold detect. `design` has the baseline of the plans.

    With `is_paired`, the baseline takes as many trials as the candidate.
    """

    rule: Rule
    design: Design
    limits: DropLimits
    is_paired: bool
    known: dict[Allotment, float | None] = field(default_factory=dict)

    def detect(self, plan: Allotment) -> float | None:
        """Return the smallest drop that a plan detects, by formula; None if it detects none."""
        if plan not in self.known:
            self.known[plan] = find_detectable_drop(
                self._design_of(plan), self.limits, chance=_chance_to_fail
            )
        return self.known[plan]

    def describe(self, plan: Allotment, trials: int) -> TrialPlan:
        """Return a plan with its drop and its mean number of trials, where one trial of all is `trials`.

        With too few cases for the formula, the gate's test decides simulated runs.
        """
        design = self._design_of(plan)
        drop, mean = self.detect(plan), float(plan.trials)
        if design.mean_square is None and (plan.looks or is_small(design)):
            found = compute_detectable_drop(design, self.limits, None, now=False)
            drop, mean = found.smallest_drop, found.mean_trials
        return TrialPlan(
            trials_per_case=plan.trials,
            looks=plan.looks,
            most_trials=plan.most_trials,
            mean_trials=round(min(mean * trials, plan.most_trials), 1),
            smallest_drop=drop,
        )

    def _design_of(self, plan: Allotment) -> Design:
        base_trials = plan.trials if self.is_paired else self.design.base_trials
        return replace(self.design, base_trials=base_trials, trials=plan.trials, looks=plan.looks)


def _chance_to_fail(design: Design, limits: DropLimits, drop: float) -> float:
    if design.looks:
        return simulate_looks(design, limits, drop).failed
    return chance_to_fail(design, limits, drop)


def make_budget_curve(
    evalset: EvalSet, table: ScoreTable, metric: str | None, agents: int
) -> BudgetCurve:
    """Return the power curve of the primary, or first, threshold that compares a mean.

    A threshold on a pass rate counts before one on a graded score.
    """
    try:
        known = choose_threshold(evalset, table, metric)
    except InvalidInput:
        if metric is not None:
            raise
        return _make_graded_curve(evalset, table, agents)
    assert known.mean is not None and known.base_trials is not None  # noqa: S101, PT018 - it has rows
    if known.noise is None:
        raise InvalidInput.single(
            f"{evalset.path}: no selected case has two baseline trials, which show the noise. Record the "
            f"baseline again: evalkit baseline {evalset.path}"
        )
    rule = known.rule
    cases = [case for case in evalset.cases if rule.tag is None or rule.tag in case.tags]
    design = Design(
        cases=len(known.rows),
        base_trials=known.base_trials,
        trials=1,
        mean=known.mean,
        noise=known.noise,
        clusters=count_clusters(rule, cases, len(known.rows)),
        silent=known.silent,
    )
    limits = get_limits(rule, rule.alpha, count_sharing(rule, evalset.gate))
    return BudgetCurve(rule=rule, design=design, limits=limits, is_paired=agents > 1)


def _make_graded_curve(evalset: EvalSet, table: ScoreTable, agents: int) -> BudgetCurve:
    """Return the power curve of the primary, or first, threshold on the mean of scores from 0 to 1.

    Raises:
        InvalidInput: there is none.
    """
    for rule in sorted(evalset.gate, key=lambda rule: not rule.primary):
        if rule.is_tested and rule.stat == "mean":
            design = _measure_design(rule, table, evalset.cases)
            if design is not None:
                limits = get_limits(rule, rule.alpha, count_sharing(rule, evalset.gate))
                return BudgetCurve(rule=rule, design=design, limits=limits, is_paired=agents > 1)
    raise InvalidInput.single(
        f"{evalset.path}: no threshold compares a pass rate, or a mean of scores from 0 to 1, with the "
        f"baseline on the selected cases, so a budget cannot be allotted. Add one with max_drop or max_rise; "
        f"or give --trials."
    )


def _measure_design(rule: Rule, base: ScoreTable, cases: tuple[Case, ...]) -> Design | None:
    """Return the design of a comparison of the baseline with itself; None if it has no such scores."""
    again = replace(base, header=replace(base.header, cases=cases))
    try:
        same = pair_scores(base, again, rule.metric, tag=rule.tag)
        return measure_change(replace(rule, estimand="suite"), same).design
    except NotComparable:
        return None
