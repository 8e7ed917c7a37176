"""evalkit calibrate: compare a judge with human labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.completion import complete_evalset
from evalkit.cli.console import create_context
from evalkit.cli.option_groups import ResultOptions
from evalkit.cli.options import require_text
from evalkit.cli.output import exit_with_code, print_result, refuse_conflicting_options


def calibrate(
    rubric: Annotated[Path, typer.Argument(metavar="RUBRIC", help="The rubric, a YAML file.")],
    labels: Annotated[
        Path, typer.Argument(metavar="LABELS", help="The human labels, a YAML or CSV file.")
    ],
    result: ResultOptions,
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="JUDGE",
            callback=require_text,
            help="The judge, written as under `judge:` (default: the judge in evalkit.yaml).",
        ),
    ] = None,
    evalset: Annotated[
        Path | None,
        typer.Option(
            "--set",
            metavar="EVALSET",
            help="Use the judge of this set.",
            autocompletion=complete_evalset,
        ),
    ] = None,
    repeats: Annotated[
        int,
        typer.Option(min=0, max=100, help="Judge this many more times to measure the flip rate."),
    ] = 0,
) -> None:
    """Compare a judge with human labels."""
    from evalkit.commands.calibrate import CalibrationRequest
    from evalkit.commands.calibrate import calibrate as command
    from evalkit.core.errors import EXIT_FAILED, EXIT_PASSED
    from evalkit.report.calibration import calibration_json, calibration_text

    refuse_conflicting_options(
        ("--judge and --set exclude each other", judge is not None and evalset is not None),
    )
    request = CalibrationRequest(
        rubric=rubric, labels=labels, judge=judge or "", evalset=evalset, repeats=repeats
    )
    found = command(request, create_context())
    print_result(found, result, calibration_json, calibration_text)
    exit_with_code(EXIT_FAILED if found.unmet else EXIT_PASSED)
