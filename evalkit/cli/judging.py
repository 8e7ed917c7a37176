"""The commands that hold judges to account: options become records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.console import emit, real_screen, real_world
from evalkit.delivery import leave, refuse_unlike
from evalkit.options import Format, OutputFormat


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
    format: OutputFormat = Format.table,  # noqa: A002
) -> None:
    """Compare a judge with people, and keep the result."""
    from evalkit.commands.calibrate import CalibrationOrder
    from evalkit.commands.calibrate import calibrate as command
    from evalkit.errors import FAILED, PASSED
    from evalkit.reports.calibrated import calibrated_json, calibrated_text

    refuse_unlike(
        ("--judge and --set do not go together", judge is not None and evalset is not None),
        ("--judge is empty", judge is not None and not judge.strip()),
    )
    order = CalibrationOrder(
        rubric=rubric, labels=labels, judge=judge or "", evalset=evalset, repeats=repeats
    )
    found = command(order, real_world())
    emit(calibrated_json(found) if format is Format.json else calibrated_text(found, real_screen()))
    leave(FAILED if found.unmet else PASSED)
