"""A sitting held at a terminal: every key is a step, and every decision is saved before the next one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from evalkit.commands.review.screens import draw_screen
from evalkit.commands.review.session import ReviewSession, apply_key
from evalkit.commands.review.terminal import Terminal
from evalkit.report.screen import Screen


def run_session(
    sitting: ReviewSession,
    terminal: Terminal,
    screen: Screen,
    save: Callable[[ReviewSession], None],
) -> ReviewSession:
    """Ask until the person is through or stops; `save` is called after every change of a decision."""
    while not sitting.ended:
        columns, rows = terminal.size()
        frame = draw_screen(sitting, replace(screen, width=columns), rows)
        terminal.show(frame.lines)
        after = apply_key(sitting, terminal.read_key(), frame.view)
        if after.state.decisions != sitting.state.decisions:
            save(after)
        sitting = after
    return sitting
