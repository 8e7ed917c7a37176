"""evalkit repair: drop the broken lines of a stored run."""

from __future__ import annotations

from evalkit.cli.console import create_context, emit
from evalkit.cli.options import RunArgument


def repair(ref: RunArgument) -> None:
    """Drop the broken lines of a stored run."""
    from evalkit.commands.repair import repair as command

    emit(command(ref, create_context()))
