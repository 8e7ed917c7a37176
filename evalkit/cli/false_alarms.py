"""evalkit false-alarms: measure how often the gate fails an unchanged agent."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.cli.console import create_context
from evalkit.cli.option_groups import ResultOptions
from evalkit.cli.options import EvalSetArgument, FixedTrialsOption, SeedOption
from evalkit.cli.output import print_result


def false_alarms(
    evalset: EvalSetArgument,
    result: ResultOptions,
    repeats: Annotated[
        int | None,
        typer.Option(min=1, help="Number of repetitions (default 200; with --run 10)."),
    ] = None,
    trials: FixedTrialsOption = None,
    run: Annotated[
        bool,
        typer.Option("--run", help="Run the unchanged agent instead of resampling the baseline."),
    ] = False,
    seed: SeedOption = None,
) -> None:
    """Measure how often the gate fails an unchanged agent.

    Resample the trials of the baseline. With --run, run the agent again instead.
    """
    from evalkit.commands.false_alarms import rerun_false_alarms, resample_false_alarms
    from evalkit.core.settings import SettingsOverrides
    from evalkit.report.false_alarms import false_alarms_json, false_alarms_text
    from evalkit.runner.records import RunRequest

    request = RunRequest(path=evalset, overrides=SettingsOverrides(trials=trials, seed=seed))
    measure = rerun_false_alarms if run else resample_false_alarms
    found = measure(request, repeats, create_context())
    print_result(found, result, false_alarms_json, false_alarms_text)
