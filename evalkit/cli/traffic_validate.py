"""evalkit traffic validate: say which offline metrics predict what users saw."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.console import create_context
from evalkit.cli.option_groups import ResultOptions
from evalkit.cli.output import print_result

_MAX_RUNS = 1000
"""How many of the newest runs of a set are joined with production."""


def traffic_validate(
    evalset: Annotated[Path, typer.Argument(metavar="EVALSET", help="The set with the gate.")],
    result: ResultOptions,
    names: Annotated[
        list[str],
        typer.Option(
            "--traffic", metavar="NAME", help="Stored traffic; may be repeated (default: all)."
        ),
    ] = [],  # noqa: B006 - typer copies it
    outcome: Annotated[
        str, typer.Option(metavar="MEASURE", help="What should be predicted: a rate of traffic.")
    ] = "satisfaction",
) -> None:
    """Say which metrics and thresholds of a set predict what users saw."""
    from evalkit.commands.history import HistoryFilter, read_history
    from evalkit.commands.traffic.validate import validate
    from evalkit.traffic.validation_text import validity_json, validity_text

    context = create_context()
    runs = read_history(evalset, HistoryFilter(None, _MAX_RUNS), None, context).rows
    found = validate(runs, evalset, names, outcome, context)
    print_result(found, result, validity_json, validity_text)
