"""evalkit validate: check eval sets and rubrics without running anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.console import create_context, detect_screen, emit
from evalkit.cli.options import (
    Format,
    FormatOption,
)


def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Eval sets and rubrics.")],
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Check eval sets and rubrics, calling nobody."""
    from evalkit.commands.validate import validate as check_files
    from evalkit.report.validate import validation_json, validation_text

    sets, rubrics = check_files(files, create_context())
    if format is Format.json:
        emit(validation_json(sets, rubrics))
    else:
        emit(validation_text(sets, rubrics, detect_screen()))
