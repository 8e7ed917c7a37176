"""evalkit base: print the commit that the gate of a change comes from."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.cli.console import create_context, emit, say


def base(
    name: Annotated[
        str | None,
        typer.Option(
            "--base",
            metavar="REF",
            help="Start from REF (default in a pull request: its target branch).",
        ),
    ] = None,
    require: Annotated[
        bool, typer.Option("--require-base", help="Exit 2 if there is no base.")
    ] = False,
) -> None:
    """Print the commit that the gate of a change comes from.

    Run it before anything of the change runs, and pass the commit as --base to every later command.
    """
    from evalkit.commands.base import find_base

    found = find_base(name, create_context(), require=require)
    say(found.sentence)
    if found.commit:
        emit(f"{found.commit}\n")
