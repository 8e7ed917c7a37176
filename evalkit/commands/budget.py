"""Allot a budget before a run: how many trials of each case it buys, and the drop that they detect."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from math import ceil, floor
from pathlib import Path

from evalkit.agents.registry import check_agent
from evalkit.ci.base import BaseGate, load_comparison_baseline
from evalkit.commands.budget_curve import make_budget_curve
from evalkit.compare.scores import build_score_table
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import EvalSet
from evalkit.core.format import format_count, name_rule
from evalkit.core.run import Run, RunEnvironment
from evalkit.core.run_budget import BudgetLimit, RunBudget
from evalkit.evalset.base_version import choose_least_trials, merge_sets
from evalkit.evalset.project import Project
from evalkit.evalset.selection import select_cases
from evalkit.gate.budget import count_silent_cases, estimate_trial_cost, expect_fresh_trials
from evalkit.gate.sequential import find_most_trials
from evalkit.runner.agent_prices import RETURN_COST
from evalkit.runner.case_metrics import DEFAULT_GATE
from evalkit.runner.records import RunRequest
from evalkit.stats.allotment import (
    Allotment,
    choose_allotment,
    find_next_allotment,
    list_allotments,
)
from evalkit.stats.power import (
    MAX_TRIALS,
)
from evalkit.store.baseline import baseline_path
from evalkit.store.refs import BaselineChoice, read_newest_run

MORE_TRIALS = 100
"""The further trials whose effect is stated for a budget of trials."""

MORE_USD = 1.0
"""The further US dollars whose effect is stated for a budget in them."""


def apply_budget(
    request: RunRequest,
    limit: BudgetLimit,
    choice: BaselineChoice,
    base_gate: BaseGate,
    project: Project,
) -> RunRequest:
    """Return a request whose number of trials is what a budget buys.

    Raises:
        InvalidInput: no baseline shows the noise, the cost of a trial is unknown, or the budget does not
            buy one trial of each case.
        StoreError, ApprovalNeeded: the baseline cannot be trusted.
    """
    evalset, baseline = _read_selected(request, choice, base_gate, project)
    agents = 2 if request.baseline_agent is not None else 1
    is_own_agent = request.entrypoint is None
    most = _count_available_trials(evalset, request.path, project) if is_own_agent else MAX_TRIALS
    budget = allot_budget(limit, evalset, baseline, project, agents=agents, most_trials=most)
    plan = budget.plan
    overrides = replace(request.overrides, trials="auto" if plan.looks else plan.trials_per_case)
    return replace(request, budget=budget, overrides=overrides)


def find_least_budget(
    request: RunRequest, limit: BudgetLimit, project: Project, *, agents: int
) -> float:
    """Return the smallest budget that runs each case of a request, in the unit of `limit`: trials or USD.

    Raises:
        InvalidInput: no baseline shows the noise, the cost of a trial is unknown, or no threshold compares.
    """
    evalset, baseline = _read_selected(request, BaselineChoice(), BaseGate(), project)
    baseline = _require_noise(baseline, evalset)
    cost = _find_trial_cost(limit, baseline, evalset, project)
    gate = evalset.gate or DEFAULT_GATE
    # Refuses a gate without a threshold that a budget can be planned for.
    make_budget_curve(replace(evalset, gate=gate), build_score_table(baseline), None, agents)
    each = choose_least_trials(gate) if agents > 1 else 1
    trials = len(evalset.cases) * each * agents
    return trials * cost if limit.usd is not None and cost is not None else float(trials)


def _read_selected(
    request: RunRequest, choice: BaselineChoice, base_gate: BaseGate, project: Project
) -> tuple[EvalSet, Run | None]:
    """Return the set with the selected cases, and the baseline."""
    evalset = project.load_valid(request.path)
    if request.base_version is not None:
        evalset = merge_sets(request.base_version.evalset, evalset)
    own = baseline_path(project.root / project.relative(request.path), evalset.name)
    evalset = replace(evalset, cases=select_cases(evalset.cases, request.selection))
    return evalset, load_comparison_baseline(choice, own, base_gate, project)


def allot_budget(  # noqa: PLR0913 - a budget, a set with its history, and what the run may take
    limit: BudgetLimit,
    evalset: EvalSet,
    baseline: Run | None,
    project: Project,
    *,
    metric: str | None = None,
    agents: int = 1,
    most_trials: int = MAX_TRIALS,
) -> RunBudget:
    """Return how a budget is allotted to the cases of a set.

    `metric` names the metric of the threshold to plan for, `agents` how many agents the run calls, and
    `most_trials` how many trials of a case they can give.

    Raises:
        InvalidInput: as for `apply_budget`.
    """
    baseline = _require_noise(baseline, evalset)
    table = build_score_table(baseline)
    gate = evalset.gate or DEFAULT_GATE
    cost = _find_trial_cost(limit, baseline, evalset, project)
    looks = min(find_most_trials(gate, baseline), most_trials) if agents == 1 else 0
    plans = list_allotments(
        len(evalset.cases),
        silent=count_silent_cases(gate, evalset.cases, table),
        most_looks=looks,
        least_fixed=choose_least_trials(gate) if agents > 1 else 1,
        most_fixed=most_trials,
        agents=agents,
    )
    count = _count_trials(limit, cost, plans)
    first = plans[0]
    if count < first.most_trials:
        raise InvalidInput.single(_too_small_text(limit, first, cost, len(evalset.cases), agents))
    fresh = expect_fresh_trials(gate, evalset.cases, table)
    reserved = min(fresh, count - first.most_trials)
    curve = make_budget_curve(replace(evalset, gate=gate), table, metric, agents)
    chosen = choose_allotment(plans, count - reserved, curve.detect)
    extra = _count_more_trials(limit, cost, count)
    more = choose_allotment(plans, count - reserved + extra, curve.detect)
    assert chosen is not None and more is not None  # noqa: S101, PT018 - the first plan is affordable
    following = find_next_allotment(plans, chosen, curve.detect) if more == chosen else None
    return RunBudget(
        max_trials=count,
        max_usd=limit.usd,
        trial_cost_usd=cost,
        reserved_trials=reserved,
        name=name_rule(curve.rule),
        noun="rise" if curve.rule.max_rise is not None else "drop",
        plan=curve.describe(chosen, len(evalset.cases) * agents),
        more_trials=extra,
        more_usd=MORE_USD if limit.usd is not None else None,
        more=curve.describe(more, len(evalset.cases) * agents),
        next_step=curve.describe(following, len(evalset.cases) * agents) if following else None,
    )


def _require_noise(baseline: Run | None, evalset: EvalSet) -> Run:
    """Return the baseline if it has several trials of a case."""
    if baseline is not None and baseline.header.trials > 1:
        return baseline
    why = "there is no baseline" if baseline is None else "the baseline has one trial per case"
    raise InvalidInput.single(
        f"{evalset.path}: {why}, so the noise is unknown and a budget cannot be allotted. Record a baseline "
        f"of 10 trials per case: evalkit baseline {evalset.path}; or give --trials."
    )


def _find_trial_cost(
    limit: BudgetLimit, baseline: Run, evalset: EvalSet, project: Project
) -> float | None:
    """Return the cost of a trial in the baseline, else in the newest run; None if neither has one.

    Raises:
        InvalidInput: there is none, and the budget is in USD.
    """
    cost = estimate_trial_cost(baseline)
    if cost is None:
        with suppress(InvalidInput):  # no stored run
            newest = read_newest_run(project.relative(Path(evalset.path)), project.root)
            cost = estimate_trial_cost(newest)
    if limit.usd is not None and cost is None:
        raise InvalidInput.single(
            "--budget-usd needs the cost of a trial, but no trial of the baseline or of the newest run "
            f"has the cost of its agent and judge. {RETURN_COST} A judge takes prices too. Then record "
            "the baseline again; or give --budget-trials."
        )
    return cost


def _count_trials(limit: BudgetLimit, cost: float | None, plans: tuple[Allotment, ...]) -> int:
    """Return how many trials a budget buys; if they are free, as many as the largest plan takes."""
    if limit.usd is None or cost is None:
        return limit.trials or 0
    # The added 1e-9 absorbs rounding: 2 / 0.02 buys 100 trials.
    return floor(limit.usd / cost + 1e-9) if cost > 0 else plans[-1].most_trials


def _count_more_trials(limit: BudgetLimit, cost: float | None, count: int) -> int:
    if limit.usd is None or cost is None:
        return MORE_TRIALS
    return floor((limit.usd + MORE_USD) / cost + 1e-9) - count if cost > 0 else 0


def _too_small_text(
    limit: BudgetLimit, first: Allotment, cost: float | None, cases: int, agents: int
) -> str:
    least = first.most_trials
    given, needed = f"--budget-trials {limit.trials}", f"--budget-trials {least}"
    if limit.usd is not None and cost is not None:
        given = f"--budget-usd {limit.usd:g}"
        # Rounded up, so that the stated budget is enough.
        needed = f"--budget-usd {ceil(least * cost * 10_000 - 1e-6) / 10_000:g}"
    of_both = " by both agents" if agents > 1 else ""
    return (
        f"{given} does not buy {format_count(first.trials, 'trial')} of each of "
        f"{format_count(cases, 'case')}{of_both}, and no case is left out. Give at least {needed} "
        f"({format_count(least, 'trial')}), or select fewer cases."
    )


def _count_available_trials(evalset: EvalSet, path: Path, project: Project) -> int:
    """Return how many trials of every case the set's agent can give, which a recording limits."""
    agent = evalset.agent
    if agent is None or agent.kind != "recorded":
        return MAX_TRIALS
    environment = RunEnvironment(
        root=project.root, set_folder=path.resolve().parent, environ=project.environ
    )
    available = 0
    while available < MAX_TRIALS and not check_agent(
        agent, evalset.cases, replace(environment, trials=available + 1)
    ):
        available += 1
    # A recording without a single trial is reported with the other problems of the set.
    return max(available, 1)
