"""The commands that say what a gate is worth, power and aa: options become records."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.cli.console import create_context, detect_screen, emit
from evalkit.cli.options import EvalSetArgument, FixedTrialsOption, Format, FormatOption


def power(
    evalset: EvalSetArgument,
    metric: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of this metric, not the primary threshold's."),
    ] = None,
    cases: Annotated[int | None, typer.Option(min=1, help="Assume so many cases.")] = None,
    baseline_trials: Annotated[
        int | None, typer.Option(min=1, help="Assume so many baseline trials of each case.")
    ] = None,
    trials: FixedTrialsOption = None,
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
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Say what a set can see, and what it costs to see more."""
    from evalkit.commands.power import PowerAssumptions, compute_power
    from evalkit.report.power import power_json, power_text

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
    )
    found = compute_power(evalset, assumed, create_context())
    emit(power_json(found) if format is Format.json else power_text(found, detect_screen()))
