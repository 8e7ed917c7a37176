"""evalkit base: print the commit that the gate of a change comes from."""

from __future__ import annotations

from evalkit.cli.console import create_context, emit, say
from evalkit.cli.options import BaseOption, RequireBaseOption


def base(base: BaseOption = None, require_base: RequireBaseOption = False) -> None:
    """Print the commit that the gate of a change comes from.

    Run it before anything of the change runs, and pass the commit as --base to every later command.
    """
    from evalkit.commands.base import find_base

    found = find_base(base, create_context(), require=require_base)
    say(found.sentence)
    if found.commit:
        emit(f"{found.commit}\n")
