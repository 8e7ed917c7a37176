"""evalkit repair: drop the broken lines of a stored run."""

from __future__ import annotations

from evalkit.cli.console import create_context, emit
from evalkit.cli.options import (
    RunArgument,
)


def repair(ref: RunArgument) -> None:
    """Rescue a stored run with broken lines."""
    from evalkit.commands.repair import repair as drop_broken

    emit(drop_broken(ref, create_context()))
