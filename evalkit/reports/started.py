"""What `evalkit init` wrote, and what to type next, as text."""

from __future__ import annotations

from evalkit.findings import Started
from evalkit.reports.layout import Screen, finish


def started_text(started: Started, screen: Screen) -> str:
    """The files, then the next command on a line of its own, so that it can be copied whole."""
    lines = ["Written:", *(f"  {name}" for name in started.written)]
    folded = [part for line in (*lines, *started.notes) for part in screen.fold(line, hang="    ")]
    return finish([folded, ["Next:", *(f"  {command}" for command in started.commands)]])
