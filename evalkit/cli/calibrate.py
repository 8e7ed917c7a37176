"""The commands that hold judges to account: options become records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.console import create_context, detect_screen, emit
from evalkit.cli.options import Format, FormatOption
from evalkit.cli.output import exit_with_code, refuse_conflicting_options


def calibrate(
    rubric: Annotated[Path, typer.Argument(metavar="RUBRIC", help="The rubric, a YAML file.")],
    labels: Annotated[
        Path, typer.Argument(metavar="LABELS", help="What people said of answers: YAML or CSV.")
    ],
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="JUDGE", help="Who judges, as under `judge:` (default: evalkit.yaml)."
        ),
    ] = None,
    evalset: Annotated[
        Path | None, typer.Option("--set", metavar="EVALSET", help="Whoever judges this set.")
    ] = None,
    repeats: Annotated[
        int, typer.Option(min=0, max=100, help="Judge again so often, for the flip rate.")
    ] = 0,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Compare a judge with people, and keep the result."""
    from evalkit.commands.calibrate import CalibrationRequest
    from evalkit.commands.calibrate import calibrate as command
    from evalkit.core.errors import EXIT_FAILED, EXIT_PASSED
    from evalkit.report.calibration import calibration_json, calibration_text

    refuse_conflicting_options(
        ("--judge and --set do not go together", judge is not None and evalset is not None),
        ("--judge is empty", judge is not None and not judge.strip()),
    )
    order = CalibrationRequest(
        rubric=rubric, labels=labels, judge=judge or "", evalset=evalset, repeats=repeats
    )
    found = command(order, create_context())
    emit(
        calibration_json(found)
        if format is Format.json
        else calibration_text(found, detect_screen())
    )
    exit_with_code(EXIT_FAILED if found.unmet else EXIT_PASSED)
