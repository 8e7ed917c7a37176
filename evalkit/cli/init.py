"""The commands that bring evalkit into a repository and its pull requests: init, ask, comment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.console import create_context, detect_screen, emit
from evalkit.cli.output import refuse_conflicting_options


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="Where to start (default: here).")
    ] = Path(),
    agent: Annotated[
        str | None,
        typer.Option(
            metavar="REF", help="Your agent: ./file.py:function or package.module:function."
        ),
    ] = None,
    forks: Annotated[
        bool, typer.Option("--forks", help="Workflows for pull requests from forks.")
    ] = False,
) -> None:
    """Write a set, a rubric and a workflow to start with."""
    from evalkit.commands.init import init as start
    from evalkit.report.init import init_text

    refuse_conflicting_options(("--agent is empty", agent == ""))
    emit(init_text(start(folder, agent, forks=forks, context=create_context()), detect_screen()))
