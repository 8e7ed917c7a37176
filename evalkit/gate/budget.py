"""Count what a run with a budget has spent, and decide whether its next stage is within the budget.

To leave out a look for its cost keeps the test valid: each look has its own part of alpha, whether or not
another one follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from evalkit.compare.scores import ScoreTable
from evalkit.core.eval_set import Case, Rule
from evalkit.core.run import Run, RunHeader
from evalkit.core.trial import Trial
from evalkit.gate.broken_cases import FRESH_TRIALS, find_stable_rates
from evalkit.gate.reruns import is_sequential, is_silent


@dataclass(frozen=True, kw_only=True, slots=True)
class Spending:
    """The trials that were run, and their cost in USD; None if no agent reported a cost."""

    trials: int
    usd: float | None


def count_spending(run: Run, baseline: Run | None) -> Spending:
    """Return what a run has spent, with that of the agent it was run `--against`."""
    parts = [run]
    if run.header.against and baseline is not None:
        parts.append(baseline)
    trials = [trial for part in parts for trial in (*part.trials, *part.fresh)]
    costs = [cost for part in parts if (cost := _sum_cost(part)) is not None]
    return Spending(trials=len(trials), usd=sum(costs) if costs else None)


def estimate_trial_cost(run: Run) -> float | None:
    """Return the mean cost of a trial in USD, of the agent and the judges with their controls.

    None if the cost of the agent, or of a judge that was called, is unknown. A verdict from the cache counts
    like one that was paid for.
    """
    rows = (*run.trials, *run.fresh)
    agent = [row.output.cost_usd for row in rows if row.output.cost_usd is not None]
    if not agent:
        return None
    judged = [score.judgement for row in rows for score in row.scores if score.judgement]
    asked = [each for each in judged if each.calls or each.is_cached]
    known = [each.cost_usd for each in asked if each.cost_usd is not None]
    if asked and not known:
        return None
    verdicts = sum(known) / len(known) * len(asked) if known else 0.0
    in_all = (run.trust.cost_usd or 0.0) if run.trust else 0.0
    return sum(agent) / len(agent) + max(verdicts, in_all) / len(rows)


def is_within_budget(header: RunHeader, run: Run, baseline: Run) -> bool:
    """Return whether a run with this header stays within its budget, by trials and by its cost so far.

    Further trials are expected to cost as much as the trials of the run, if these have a cost.
    """
    budget = header.budget
    if budget is None:
        return True
    spent = count_spending(run, baseline)
    before = sum(run.header.planned_trials().values()) + sum(run.header.fresh.values())
    planned = sum(header.planned_trials().values()) + sum(header.fresh.values())
    added = planned - before
    if spent.trials + added > budget.max_trials:
        return False
    if budget.max_usd is None or spent.usd is None:
        return True
    return spent.usd * (1 + added / max(spent.trials, 1)) <= budget.max_usd


def count_silent_cases(rules: Sequence[Rule], cases: Sequence[Case], base: ScoreTable) -> int:
    """Return how many cases never passed in the baseline, so that a run with looks takes one trial of them."""
    tested = [rule for rule in rules if is_sequential(rule, base)]
    known = base.cases
    shared = (case for case in cases if case.id in known and known[case.id].digest == case.digest)
    return sum(is_silent(tested, case, base) for case in shared)


def expect_fresh_trials(rules: Sequence[Rule], cases: Sequence[Case], base: ScoreTable) -> int:
    """Return how many fresh trials an unchanged agent takes on average, for newly failing cases."""
    if all(rule.broken_cases is None for rule in rules):
        return 0
    known = base.cases
    shared = [c.id for c in cases if c.id in known and known[c.id].digest == c.digest]
    return FRESH_TRIALS * ceil(sum(1 - rate for rate in find_stable_rates(base, shared)))


def _sum_cost(run: Run) -> float | None:
    rows: tuple[Trial, ...] = (*run.trials, *run.fresh)
    agent = [row.output.cost_usd for row in rows if row.output.cost_usd is not None]
    if run.trust is not None:
        judges = [run.trust.cost_usd]
    else:
        judged = [score.judgement for row in rows for score in row.scores if score.judgement]
        judges = [each.cost_usd for each in judged if not each.is_cached]
    known = [cost for cost in judges if cost is not None]
    return sum(agent) + sum(known) if agent or known else None
