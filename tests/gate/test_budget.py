"""What a trial costs, and what a run with a budget may still take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from evalkit.core.judgement import Judgement, JudgeTrust
from evalkit.core.run import Run
from evalkit.core.run_budget import RunBudget, TrialPlan
from evalkit.core.trial import Trial
from evalkit.gate.budget import count_spending, estimate_trial_cost, is_within_budget
from tests.support.run_samples import counted, make_run

RUN = make_run({"right": counted({"a": (1, 2), "b": (2, 2)})})
PLAN = TrialPlan(trials_per_case=3, looks=3, most_trials=6)


def with_costs(run: Run, agent: float | None, *judged: Judgement) -> Run:
    """The run, every trial of which has this cost and these judgments, one a score."""

    def change(trials: Iterable[Trial]) -> tuple[Trial, ...]:
        return tuple(
            replace(
                trial,
                output=replace(trial.output, cost_usd=agent),
                scores=tuple(replace(trial.scores[0], judgement=each) for each in judged)
                or trial.scores,
            )
            for trial in trials
        )

    return replace(run, trials=change(run.trials))


def test_a_trial_costs_what_its_agent_and_its_judges_take() -> None:
    paid = Judgement(judge="j", digest="d", calls=1, cost_usd=0.02)
    cached = replace(paid, calls=0, cost_usd=None, is_cached=True)
    local = Judgement(judge="lexical", digest="l")
    assert estimate_trial_cost(with_costs(RUN, 0.01)) == pytest.approx(0.01)
    assert estimate_trial_cost(with_costs(RUN, 0.01, paid, local)) == pytest.approx(0.03)
    # What comes from a cache now was paid for once, and a new answer will be.
    assert estimate_trial_cost(with_costs(RUN, 0.01, paid, cached)) == pytest.approx(0.05)
    # Controls of the judge are part of what a run costs.
    controlled = replace(with_costs(RUN, 0.01, paid), trust=JudgeTrust(cost_usd=0.12))
    assert estimate_trial_cost(controlled) == pytest.approx(0.04)
    assert estimate_trial_cost(with_costs(RUN, None, paid)) is None
    assert estimate_trial_cost(with_costs(RUN, 0.01, replace(paid, cost_usd=None))) is None


def test_a_stage_is_within_a_budget_by_trials_and_by_what_they_cost_now() -> None:
    def fits(agent: float | None, trials: int, usd: float | None, *, max_trials: int = 6) -> bool:
        budget = RunBudget(
            max_trials=max_trials, max_usd=usd, name="right", plan=PLAN, more_trials=100, more=PLAN
        )
        run = with_costs(RUN, agent)
        run = replace(run, header=replace(run.header, budget=budget))
        return is_within_budget(replace(run.header, trials=trials), run, RUN)

    assert fits(None, 3, None)
    assert not fits(None, 3, None, max_trials=5)
    assert not fits(None, 4, None)
    # Four trials cost $0.40, and two more $0.20.
    assert fits(0.1, 3, 0.61)
    assert not fits(0.1, 3, 0.59)


def test_both_agents_spend_a_shared_budget() -> None:
    run = with_costs(RUN, 0.1)
    assert count_spending(run, run).trials == 4
    both = count_spending(replace(run, header=replace(run.header, against="abc")), run)
    assert both.trials == 8
    assert both.usd == pytest.approx(0.8)
