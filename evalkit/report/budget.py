"""Say what a budget buys, what more would buy, and what a run has spent of it."""

from __future__ import annotations

from evalkit.core.format import format_count, format_value
from evalkit.core.run_budget import RunBudget, TrialPlan


def budget_sentences(budget: RunBudget) -> tuple[str, ...]:
    """Return how a budget is allotted, what it detects and leaves unused, and what more would buy."""
    return (_plan_text(budget), *_unused_texts(budget), _more_text(budget))


def spending_sentence(budget: RunBudget, trials: int, usd: float | None) -> str:
    """Return the budget with its plan, and what a run has spent of it."""
    spent = f"{trials:,} of {format_count(budget.max_trials, 'trial')}"
    if budget.max_usd is not None and usd is not None:
        spent += f", {format_value(usd, 'usd')} of {format_value(budget.max_usd, 'usd')}"
        if usd > budget.max_usd:
            spent += ", more than planned: a trial cost more than in the stored run"
    elif usd is not None:
        spent += f", {format_value(usd, 'usd')}"
    return f"{_plan_text(budget)} Spent {spent}."


def _plan_text(budget: RunBudget) -> str:
    limit = f"{format_count(budget.max_trials, 'trial')}"
    if budget.max_usd is not None:
        limit = f"{format_value(budget.max_usd, 'usd')}, {limit}"
    if budget.trial_cost_usd is not None:
        limit += f" at about {format_value(budget.trial_cost_usd, 'usd')}"
    plan = budget.plan
    sizes = f"{plan.trials_per_case} per case, {_amount_text(budget, plan.most_trials)}"
    if plan.looks:
        mean = _amount_text(budget, round(plan.mean_trials))
        sizes = (
            f"1 to {plan.trials_per_case} per case, at most {_amount_text(budget, plan.most_trials)}, "
            f"on average {mean} if nothing changed"
        )
    return f"Budget of {limit}: {sizes}. {_detects_text(budget, plan)}."


def _detects_text(budget: RunBudget, plan: TrialPlan) -> str:
    if plan.smallest_drop is None:
        return f"No {budget.noun} in {budget.name} fails 4 times in 5 with it"
    return (
        f"The smallest {budget.noun} in {budget.name} that fails 4 times in 5 is "
        f"{_points(plan.smallest_drop)}"
    )


def _unused_texts(budget: RunBudget) -> tuple[str, ...]:
    found = []
    if budget.reserved_trials:
        found.append(
            f"{format_count(budget.reserved_trials, 'trial')} reserved for fresh trials of cases that "
            f"newly fail."
        )
    if unused := budget.unused_trials:
        why = "because no plan takes more" if budget.buys_most else "too few for the next step"
        found.append(f"Not used: {_amount_text(budget, unused)}, {why}.")
    return tuple(found)


def _more_text(budget: RunBudget) -> str:
    more = f"{budget.more_trials:,} more trials"
    if budget.more_usd is not None:
        more = f"{format_value(budget.more_usd, 'usd')} more ({format_count(budget.more_trials, 'trial')})"
    if _is_better(budget.more, budget.plan):
        return f"{more} would detect {_points(budget.more.smallest_drop)}."
    step = budget.next_step
    if step is None or not _is_better(step, budget.plan):
        return f"{more} would detect no smaller {budget.noun}, and neither would any larger budget."
    needed = step.most_trials + budget.reserved_trials - budget.max_trials
    return (
        f"{more} would detect no smaller {budget.noun}; the next step takes "
        f"{_amount_text(budget, needed)} more and detects {_points(step.smallest_drop)}."
    )


def _is_better(plan: TrialPlan, than: TrialPlan) -> bool:
    if plan.smallest_drop is None:
        return False
    return than.smallest_drop is None or plan.smallest_drop < than.smallest_drop


def _points(drop: float | None) -> str:
    return "none" if drop is None else f"{100 * drop:.1f} pt"


def _amount_text(budget: RunBudget, trials: int) -> str:
    text = format_count(trials, "trial")
    if budget.trial_cost_usd is None:
        return text
    return f"{text} (about {format_value(budget.trial_cost_usd * trials, 'usd')})"
