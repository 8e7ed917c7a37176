"""evalkit false-alarms: measure how often the gate fails an unchanged agent."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.cli.console import create_context, detect_screen, emit
from evalkit.cli.options import EvalSetArgument, FixedTrialsOption, Format, FormatOption, SeedOption


def false_alarms(
    evalset: EvalSetArgument,
    repeats: Annotated[
        int | None,
        typer.Option(min=1, help="How often to decide (default 200; with --run 10)."),
    ] = None,
    trials: FixedTrialsOption = None,
    run: Annotated[
        bool, typer.Option("--run", help="Run the unchanged agent; draw nothing from the baseline.")
    ] = False,
    seed: SeedOption = None,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Say how often the gate fails an unchanged agent."""
    from evalkit.commands.false_alarms import rerun_false_alarms, resample_false_alarms
    from evalkit.core.settings import SettingsOverrides
    from evalkit.report.false_alarms import false_alarms_json, false_alarms_text
    from evalkit.runner.records import RunRequest

    order = RunRequest(path=evalset, overrides=SettingsOverrides(trials=trials, seed=seed))
    found = (rerun_false_alarms if run else resample_false_alarms)(order, repeats, create_context())
    emit(
        false_alarms_json(found)
        if format is Format.json
        else false_alarms_text(found, detect_screen())
    )
