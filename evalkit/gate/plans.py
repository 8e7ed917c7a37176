"""Say how many trials would decide a comparison of pass rates, from the numbers of `evalkit power`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil

from evalkit.core.eval_set import Rule
from evalkit.core.format import format_share
from evalkit.gate.evidence import Evidence, estimate_cases_to_decide
from evalkit.gate.phrases import format_sample
from evalkit.stats.power import Design, trials_to_decide
from evalkit.stats.unchanged import PassPlan, find_trials_to_pass, measure_baseline

ENOUGH_BASE_TRIALS = 10
"""With so many baseline trials, more of them hardly reduce the noise."""


def design_from_baseline(
    design: Design, rows: Sequence[Sequence[float]], *, is_drop: bool
) -> Design:
    """Return a design with the pass rates of the baseline alone, as `evalkit power` has it.

    `rows` has the 0/1 scores by case and trial. The design of graded scores, or of a baseline with one trial
    per case, stays as it is.
    """
    good = rows if is_drop else [[1 - value for value in row] for row in rows]
    found = measure_baseline(good) if design.mean_square is None else None
    if found is None:
        return design
    return replace(
        design,
        base_trials=len(rows) / sum(1 / len(row) for row in rows),
        mean=found.mean,
        noise=found.noise,
        seen_noise=found.seen,
    )


def plan_text(rule: Rule, evidence: Evidence, cost_per_trial: float | None) -> str:
    """Return what would decide an inconclusive comparison: trials, their cost, and the chance."""
    design = evidence.design
    if design is None:
        return _cases_text(evidence)
    whole = evidence.whole_alpha or rule.alpha

    def size(trials: int) -> str:
        runs = trials * design.cases
        cost = f", about ${cost_per_trial * runs:,.2f}" if cost_per_trial else ""
        return f" ({runs:,} runs{cost})"

    if evidence.is_large and evidence.harm > 0:
        limits = replace(evidence.limits, alpha=evidence.limits.alpha * whole / rule.alpha)
        plan = PassPlan(*trials_to_decide(design, limits, -evidence.harm))
        who = f"a {evidence.scale.noun} of this size"
        return _advise(design, plan, size(plan.trials), who, "is decided")
    taken = replace(design, trials=evidence.looks or round(design.trials), looks=evidence.looks)
    known = design_from_baseline(taken, evidence.pairs.base, is_drop=evidence.scale.sign < 0)
    limits = replace(evidence.limits, alpha=whole)
    return advise_trials(known, find_trials_to_pass(known, limits), size)


def advise_trials(design: Design, plan: PassPlan, size: Callable[[int], str] = lambda _: "") -> str:
    """Return the advice to set the planned number of trials, and how often an unchanged agent then passes."""
    of_runs = size(plan.trials)
    if design.mean < 1:
        return _advise(design, plan, of_runs, "an agent that did not change", "passes")
    # Such a baseline says nothing about how often a trial fails.
    key, who = f"`trials: {plan.trials}`{of_runs}", "a run without a failure"
    if plan.is_enough:
        return f"Set {key}: {who} then passes."
    return f"Even with {key}, {who} is inconclusive; add cases."


def _advise(design: Design, plan: PassPlan, size: str, who: str, does: str) -> str:
    key, share = f"`trials: {plan.trials}`{size}", format_share(plan.chance)
    if plan.is_enough:
        return f"Set {key}: {who} then {does} in {share} of runs."
    more = "" if design.base_trials >= ENOUGH_BASE_TRIALS else ", or record more baseline trials"
    return f"Even with {key}, {who} {does} in only {share} of runs; add cases{more}."


def _cases_text(evidence: Evidence) -> str:
    needed = estimate_cases_to_decide(evidence)
    if needed is None:
        return "More cases, or more trials of each, would narrow the interval."
    cases, users = len(evidence.pairs.cases), evidence.population
    plan, now = f"{needed:,} cases like these", f"{cases:,}"
    if users is not None and users.clusters < cases:
        plan += f" in {ceil(users.clusters * needed / cases):,} clusters"
        now = format_sample(cases, users.clusters)
    return f"About {plan} ({now} now) would decide, if the change stays the same."
