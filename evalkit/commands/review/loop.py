"""Run a session at a terminal: read a key, apply it, and save every decision before the next key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from evalkit.commands.review.records import ReviewSession
from evalkit.commands.review.screens import draw_screen
from evalkit.commands.review.session import apply_key
from evalkit.commands.review.terminal import Terminal
from evalkit.report.screen import Screen


def run_session(
    session: ReviewSession,
    terminal: Terminal,
    screen: Screen,
    save: Callable[[ReviewSession], None],
) -> ReviewSession:
    """Ask until the person has finished or stops; call `save` after every change of a decision."""
    while not session.ended:
        columns, rows = terminal.size()
        frame = draw_screen(session, replace(screen, width=columns), rows)
        terminal.show(frame.lines)
        before = session
        session = apply_key(session, terminal.read_key(), frame)
        if session.state.decisions != before.state.decisions:
            save(session)
    return session
