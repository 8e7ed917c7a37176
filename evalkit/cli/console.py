"""The terminal, environment and clock of this process: the only place that reads or prints them.

Imported by every command, so what it needs itself is imported where it is used.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evalkit.core.context import Context
    from evalkit.report.screen import Screen


def create_context() -> Context:
    """The outside as it is: this folder, this environment, this clock, this terminal."""
    import secrets
    from datetime import UTC, datetime

    from evalkit.cli.progress import show_progress
    from evalkit.core.context import Context
    from evalkit.core.errors import InvalidInput

    try:
        cwd = Path.cwd()
    except FileNotFoundError as error:
        raise InvalidInput.single(
            "the current folder no longer exists. Change to one that does."
        ) from error
    return Context(
        cwd=cwd,
        environ=dict(os.environ),
        now=lambda: datetime.now(UTC),
        token=lambda: secrets.token_hex(3),
        open_progress=lambda total: show_progress(total, sys.stderr),
        say=say,
    )


def detect_screen() -> Screen:
    """What stdout can show: its width, whether colour is wanted, whether it takes Unicode."""
    import shutil

    from evalkit.report.screen import Screen

    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "")
    return Screen(
        width=shutil.get_terminal_size((80, 24)).columns,
        color=wants_color(),
        unicode=encoding.startswith("utf"),
    )


def is_step_summary(path: Path) -> bool:
    """Whether a file is the one GitHub shows on the page of a workflow run."""
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    return bool(summary) and os.path.realpath(path) == os.path.realpath(str(summary))


def wants_color() -> bool:
    """NO_COLOR and FORCE_COLOR decide (no-color.org, force-color.org), else whether it is a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return bool(sys.stdout and sys.stdout.isatty()) and os.environ.get("TERM") != "dumb"


def is_interactive() -> bool:
    """Whether somebody can be asked: keys come from a terminal, and screens can be shown on it."""
    streams = (sys.stdin, sys.stdout)
    return all(each and each.isatty() for each in streams) and os.environ.get("TERM") != "dumb"


def emit(text: str) -> None:
    """Write the result to stdout; a reader who has gone is none of our business."""
    write_to(1, text)


def say(text: str) -> None:
    """Tell the user something on stderr, that is not the result."""
    from evalkit.core.redaction import Redactor
    from evalkit.core.safe_text import escape_ci_commands, escape_unsafe

    # An agent or plugin that cannot be loaded may quote anything.
    shown = Redactor(os.environ).redact_text(text)
    write_to(2, escape_ci_commands(escape_unsafe(shown, newlines=True)) + "\n")


def write_to(descriptor: int, text: str) -> None:
    """Write text whole, whatever the encoding can take.

    Raises:
        StoreError: stdout leads to a disk that is full.
    """
    stream = sys.stdout if descriptor == 1 else sys.stderr
    if stream is None:
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        stream.flush()
        stream.buffer.write(text.encode(encoding, "backslashreplace"))
        stream.flush()
    except BrokenPipeError:
        # Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    except OSError as error:
        from evalkit.core.errors import StoreError

        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
        raise StoreError(f"could not write the result: {error.strerror}.") from error
