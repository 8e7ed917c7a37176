"""The commands that say what a gate is worth, power and aa: options become records."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.console import emit, real_screen, real_world
from evalkit.options import EvalSetPath, FixedTrials, Format, OutputFormat, Seed


def power(
    evalset: EvalSetPath,
    metric: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of this metric, not the primary threshold's."),
    ] = None,
    cases: Annotated[int | None, typer.Option(min=1, help="Assume so many cases.")] = None,
    baseline_trials: Annotated[
        int | None, typer.Option(min=1, help="Assume so many baseline trials of each case.")
    ] = None,
    trials: FixedTrials = None,
    drop: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="What would it take to see this drop (0.05: 5 points)?"
        ),
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option(min=0.0, max=0.25, help="Assume this mean over cases of p(1-p)."),
    ] = None,
    mean: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Assume this pass rate.")
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(min=0.0001, max=0.4, help="Level of the test, one-sided.")
    ] = None,
    rules: Annotated[
        int | None,
        typer.Option(min=1, help="Thresholds that share alpha; the primary one does not."),
    ] = None,
    format: OutputFormat = Format.table,  # noqa: A002
) -> None:
    """Say what a set can see, and what it costs to see more."""
    from evalkit.commands.power import Assumed, weigh_power
    from evalkit.reports.power import power_json, power_text

    assumed = Assumed(
        metric=metric,
        cases=cases,
        base_trials=baseline_trials,
        trials=trials,
        noise=noise,
        mean=mean,
        drop=drop,
        alpha=alpha,
        rules=rules,
    )
    found = weigh_power(evalset, assumed, real_world())
    emit(power_json(found) if format is Format.json else power_text(found, real_screen()))


def aa(
    evalset: EvalSetPath,
    repeats: Annotated[
        int | None,
        typer.Option(min=1, help="How often to decide (default 200; with --run 10)."),
    ] = None,
    trials: FixedTrials = None,
    run: Annotated[
        bool, typer.Option("--run", help="Run the unchanged agent; draw nothing from the baseline.")
    ] = False,
    seed: Seed = None,
    format: OutputFormat = Format.table,  # noqa: A002
) -> None:
    """Say how often the gate fails an unchanged agent."""
    from evalkit.commands.aa import redraw, rerun
    from evalkit.plan import Order
    from evalkit.reports.alarms import alarms_json, alarms_text

    order = Order(path=evalset, overrides={"trials": trials, "seed": seed})
    found = (rerun if run else redraw)(order, repeats, real_world())
    emit(alarms_json(found) if format is Format.json else alarms_text(found, real_screen()))
