"""A sitting held at a terminal: every key is a step, and every decision is saved before the next one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from evalkit.reports.layout import Screen
from evalkit.reviewing.screens import draw
from evalkit.reviewing.sitting import Sitting, press
from evalkit.reviewing.terminal import Terminal


def conduct(
    sitting: Sitting, terminal: Terminal, screen: Screen, save: Callable[[Sitting], None]
) -> Sitting:
    """Ask until the person is through or stops; `save` is called after every change of a decision."""
    while not sitting.ended:
        columns, rows = terminal.size()
        frame = draw(sitting, replace(screen, width=columns), rows)
        terminal.show(frame.lines)
        after = press(sitting, terminal.read_key(), frame.view)
        if after.now.given != sitting.now.given:
            save(after)
        sitting = after
    return sitting
