"""evalkit init: write an eval set, a rubric, and a CI workflow to start with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.console import create_context, detect_screen, emit
from evalkit.cli.options import require_text


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="The repository to write to.")
    ] = Path(),
    agent: Annotated[
        str | None,
        typer.Option(
            metavar="REF",
            callback=require_text,
            help="Your agent: ./file.py:function or package.module:function.",
        ),
    ] = None,
    forks: Annotated[
        bool, typer.Option("--forks", help="Write workflows for pull requests from forks.")
    ] = False,
) -> None:
    """Write a set, a rubric, and a CI workflow to start with."""
    from evalkit.commands.init import init as command
    from evalkit.report.init import init_text

    started = command(folder, agent, forks=forks, context=create_context())
    emit(init_text(started, detect_screen()))
