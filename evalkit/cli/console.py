"""Access the terminal, environment, and clock of this process. No other module does.

Every command imports this module, so it imports its own dependencies inside its functions.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.cli.private_process import PROCESS

if TYPE_CHECKING:
    from evalkit.core.context import Context
    from evalkit.core.redaction import Redactor
    from evalkit.report.screen import Screen


def create_context(*, quiet: bool = False) -> Context:
    """Return the context of this process: its folder, environment, clock, and terminal.

    Raises:
        InvalidInput: the current folder no longer exists.
    """
    import secrets
    from datetime import UTC, datetime

    from evalkit.cli.progress import show_progress
    from evalkit.core.ci_markers import is_ci
    from evalkit.core.context import Context
    from evalkit.core.errors import InvalidInput

    try:
        cwd = Path.cwd()
    except FileNotFoundError as error:
        raise InvalidInput.single(
            "the current folder no longer exists. Change to one that does."
        ) from error
    stream = None if quiet else sys.stderr  # progress does not depend on where stdout goes
    lines = say if is_ci(PROCESS.variables) else None
    return Context(
        cwd=cwd,
        environ=PROCESS.take(),
        now=lambda: datetime.now(UTC),
        token=lambda: secrets.token_hex(3),
        open_progress=lambda stage: show_progress(stage, stream, lines),
        say=say,
    )


def detect_screen(output: Path | None = None) -> Screen:
    """Return the size of stdout and whether it shows color and Unicode.

    A file has 80 columns, 40 lines, and no color. So has a pipe, unless COLUMNS and LINES are set.
    """
    import shutil

    from evalkit.report.screen import Screen

    if output is not None:
        return Screen()
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "")
    size = shutil.get_terminal_size((80, 40))
    return Screen(
        width=size.columns,
        height=size.lines,
        color=wants_color(),
        unicode=encoding.startswith("utf"),
    )


def is_step_summary(path: Path) -> bool:
    """Return whether a file is the step summary that GitHub shows with a workflow run."""
    summary = PROCESS.variables.get("GITHUB_STEP_SUMMARY")
    return bool(summary) and os.path.realpath(path) == os.path.realpath(str(summary))


def wants_color() -> bool:
    """Return whether to print in color: on a terminal, unless NO_COLOR or FORCE_COLOR is set.

    Source: https://no-color.org and https://force-color.org.
    """
    if PROCESS.variables.get("NO_COLOR"):
        return False
    if PROCESS.variables.get("FORCE_COLOR"):
        return True
    return bool(sys.stdout and sys.stdout.isatty()) and PROCESS.variables.get("TERM") != "dumb"


def read_typed_words() -> list[str]:
    """Return the words of the command line after `evalkit`."""
    return sys.argv[1:]


def is_interactive() -> bool:
    """Return whether stdin and stdout are a terminal that supports full-screen output."""
    streams = (sys.stdin, sys.stdout)
    return (
        all(each and each.isatty() for each in streams) and PROCESS.variables.get("TERM") != "dumb"
    )


def can_open_browser() -> bool:
    """Return whether a browser can be shown: in a terminal on a desktop, and not in CI."""
    from evalkit.core.ci_markers import is_ci

    # Without a display, Python would start a browser that draws in this terminal.
    has_display = sys.platform == "darwin" or any(
        PROCESS.variables.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    return has_display and is_interactive() and not is_ci(PROCESS.variables)


def emit(text: str) -> None:
    """Write the result to stdout; ignore a closed pipe."""
    write_to(1, text)


def say(text: str) -> None:
    """Print a message for the user on stderr."""
    from evalkit.core.safe_text import escape_ci_commands, escape_unsafe

    # The text may quote secrets or control characters of an agent or plugin.
    shown = _build_redactor().redact_text(text)
    write_to(2, escape_ci_commands(escape_unsafe(shown, newlines=True)) + "\n")


@cache
def _build_redactor() -> Redactor:
    from evalkit.core.redaction import Redactor

    return Redactor(PROCESS.variables)


def write_to(descriptor: int, text: str) -> None:
    """Write a text to stdout or stderr, and escape characters that the encoding lacks.

    Raises:
        StoreError: the text cannot be written, for example on a full disk.
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
        # Without this, Python fails again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    except OSError as error:
        from evalkit.core.errors import StoreError

        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
        raise StoreError(f"could not write the result: {error.strerror}.") from error
