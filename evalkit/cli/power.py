"""evalkit power: compute the drop that a set can detect, or what a given drop requires."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.cli.budget_options import BudgetOptions
from evalkit.cli.console import create_context
from evalkit.cli.option_groups import ResultOptions
from evalkit.cli.options import EvalSetArgument, FixedTrialsOption
from evalkit.cli.output import print_result, refuse_conflicting_options


def power(
    evalset: EvalSetArgument,
    result: ResultOptions,
    budget: BudgetOptions,
    metric: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The metric (default: the primary threshold's)."),
    ] = None,
    cases: Annotated[int | None, typer.Option(min=1, help="Assume this many cases.")] = None,
    baseline_trials: Annotated[
        int | None, typer.Option(min=1, help="Assume this many baseline trials per case.")
    ] = None,
    trials: FixedTrialsOption = None,
    drop: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="Print what it takes to detect this drop (0.05 is 5 points)."
        ),
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option(min=0.0, max=0.25, help="Assume this noise: the mean of p(1-p) over cases."),
    ] = None,
    mean: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Assume this pass rate.")
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(min=0.0001, max=0.4, help="Level of the one-sided test.")
    ] = None,
    rules: Annotated[
        int | None,
        typer.Option(min=1, help="Assume that this many thresholds share alpha."),
    ] = None,
) -> None:
    """Compute the drop that a set can detect.

    With --drop, compute what a set needs to detect that drop; with a budget, what it buys.
    """
    from evalkit.commands.power import PowerAssumptions, compute_power
    from evalkit.report.power import power_json, power_text

    given = (cases, baseline_trials, trials, noise, mean, alpha, rules)
    is_assumed = any(value is not None for value in given)
    conflict = "a budget is allotted from the baseline; leave out the other assumptions"
    refuse_conflicting_options(budget.conflict, (conflict, bool(budget.limit) and is_assumed))
    assumed = PowerAssumptions(
        metric=metric,
        cases=cases,
        base_trials=baseline_trials,
        trials=trials,
        noise=noise,
        mean=mean,
        drop=drop,
        alpha=alpha,
        rules=rules,
        budget=budget.limit,
    )
    found = compute_power(evalset, assumed, create_context())
    print_result(found, result, power_json, power_text)
