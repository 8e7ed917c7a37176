"""evalkit validate: check eval sets and rubrics without running anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.completion import complete_evalset
from evalkit.cli.console import create_context
from evalkit.cli.option_groups import ResultOptions
from evalkit.cli.output import print_result


def validate(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            autocompletion=complete_evalset,
            help="Eval sets and rubrics; a folder counts with all in it.",
        ),
    ],
    result: ResultOptions,
    no_agent: Annotated[
        bool,
        typer.Option(
            "--no-agent",
            help="Do not import the agent: only look for its function in the source.",
        ),
    ] = False,
) -> None:
    """Check eval sets and rubrics without running them."""
    from evalkit.commands.validate import find_files
    from evalkit.commands.validate import validate as command
    from evalkit.report.validate import validation_json, validation_text

    context = create_context()
    print_result(
        command(find_files(files, context), context, loads_agent=not no_agent),
        result,
        lambda found: validation_json(*found),
        lambda found, screen: validation_text(*found, screen),
    )
