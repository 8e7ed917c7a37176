"""evalkit schema: print a JSON Schema."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.cli.completion import complete_schema
from evalkit.cli.options import OutputOption
from evalkit.cli.output import write_result


def schema(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="The kind of file: evalset, cases, rubric, project, or report.",
            autocompletion=complete_schema,
        ),
    ],
    output: OutputOption = None,
) -> None:
    """Print the JSON Schema of a file, for your editor."""
    from evalkit.commands.schema import read_schema

    write_result(read_schema(name), output)
