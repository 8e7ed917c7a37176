"""Use the terminal for one screen at a time: read raw keys, write full frames, restore it at the end."""

from __future__ import annotations

import codecs
import os
import re
import select
import shutil
import signal
import termios
import unicodedata
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Protocol

# xterm's private modes: alternate screen, no wrapping, bracketed paste, no cursor.
_OPEN = "\x1b[?1049h\x1b[?7l\x1b[?2004h\x1b[?25l"
_CLOSE = "\x1b[?25h\x1b[?2004l\x1b[?7h\x1b[?1049l"

_ESCAPE_WAIT_S = 0.05
"""Seconds after which an escape that nothing follows is the Escape key, not the start of a sequence."""

_SIZE_CHANGED, _STOPPED = b"w", b"t"


class Terminal(Protocol):
    """The terminal of a review session."""

    def size(self) -> tuple[int, int]:
        """Return the present number of columns and rows."""

    def show(self, lines: Sequence[str]) -> None:
        """Replace the lines on the screen."""

    def read_key(self) -> str:
        """Wait for the next key and return it; `<resize>` when the size has changed."""


class RealTerminal:
    """The terminal of this process; see `open_terminal`."""

    def __init__(self, source: int, target: int, signal_pipe: int) -> None:
        self._source = source
        self._target = target
        self._signal_pipe = signal_pipe
        self._keys: deque[str] = deque()
        self._unfinished = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def size(self) -> tuple[int, int]:
        """Return the size from the terminal: COLUMNS and LINES do not follow a change of the window."""
        try:
            size = os.get_terminal_size(self._target)
        except OSError:
            size = shutil.get_terminal_size()
        # A pseudo-terminal without a size reports 0.
        return size.columns or 80, size.lines or 24

    def show(self, lines: Sequence[str]) -> None:
        """Write line by line over the previous frame, so that nothing flickers."""
        # Clear a line before writing it: clearing after a full line would erase its last character.
        self.write("\x1b[H" + "\r\n".join(f"\x1b[2K{line}" for line in lines))

    def write(self, text: str) -> None:
        """Write all of the text, in as many calls as the terminal needs."""
        data = text.encode("utf-8", "backslashreplace")
        while data:
            data = data[os.write(self._target, data) :]

    def read_key(self) -> str:
        """Return the next key; keys that arrive together are returned one by one."""
        while not self._keys:
            # A paste always ends; any other unfinished sequence may be the Escape key.
            is_open = bool(self._unfinished) and not self._unfinished.startswith(PASTE_BEGINS)
            wait = _ESCAPE_WAIT_S if is_open else None
            ready, _, _ = select.select([self._source, self._signal_pipe], [], [], wait)
            if self._signal_pipe in ready:
                is_stopped = _STOPPED in os.read(self._signal_pipe, 64)
                self._keys.append("<hangup>" if is_stopped else "<resize>")
            elif self._source in ready:
                self._read_keys()
            else:
                self._keys.append("<escape>" if self._unfinished == "\x1b" else "<unknown>")
                self._unfinished = ""
        return self._keys.popleft()

    def _read_keys(self) -> None:
        data = b""
        with suppress(OSError):  # the terminal is gone, which reads as its end
            data = os.read(self._source, 4096)
        if data:
            keys, self._unfinished = split_keys(self._unfinished + self._decoder.decode(data))
            self._keys.extend(keys)
        else:
            self._keys.append("<hangup>")


@contextmanager
def open_terminal(source: int, target: int) -> Iterator[RealTerminal]:
    """Yield the terminal in raw mode, and restore it however the block ends.

    Signals that would end the process become the key `<hangup>`, so that every decision is saved.
    """
    with _signal_pipe() as signals, _raw_keys(source):
        terminal = RealTerminal(source, target, signals)
        try:
            terminal.write(_OPEN)
            yield terminal
        finally:
            with suppress(OSError):  # the terminal may be gone
                terminal.write(_CLOSE)


@contextmanager
def _raw_keys(source: int) -> Iterator[None]:
    """Deliver keys one by one without echo, and ^C as a key."""
    before = termios.tcgetattr(source)
    incoming, outgoing, control, local, *rest = before
    local &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
    incoming &= ~(termios.ICRNL | termios.IXON)
    try:
        # TCSAFLUSH drops what was typed before the first screen: it cannot be an answer to it.
        termios.tcsetattr(source, termios.TCSAFLUSH, [incoming, outgoing, control, local, *rest])
        yield
    finally:
        with suppress(termios.error):
            termios.tcsetattr(source, termios.TCSADRAIN, before)


@contextmanager
def _signal_pipe() -> Iterator[int]:
    """Yield a descriptor that gets a byte for each change of size and each signal to end the process."""
    # A signal handler must not touch the terminal; a byte in a pipe wakes up `select` in `read_key`.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def notify(number: int, _: FrameType | None) -> None:
        with suppress(BlockingIOError):  # a full pipe wakes it up as well
            os.write(writer, _SIZE_CHANGED if number == signal.SIGWINCH else _STOPPED)

    numbers = (signal.SIGWINCH, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = {number: signal.signal(number, notify) for number in numbers}
    try:
        yield reader
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


PASTED = "<paste>"
"""The prefix of a pasted text, which distinguishes it from keys."""

PASTE_BEGINS = "\x1b[200~"
"""The sequence that a terminal sends before a paste."""

_NAMES = {
    "\r": "<enter>",
    "\n": "<enter>",
    "\x7f": "<backspace>",
    "\b": "<backspace>",
    "\x03": "<interrupt>",
    "\x04": "<interrupt>",
    "\x15": "<clear>",
    "\x1a": "<suspend>",
    "\x1b": "<escape>",
}

# The sequences of xterm, the Linux console and tmux (ECMA-48 CSI, and SS3 in application mode).
_SEQUENCES = {
    "A": "<up>",
    "B": "<down>",
    "H": "<home>",
    "F": "<end>",
    "1~": "<home>",
    "7~": "<home>",
    "4~": "<end>",
    "8~": "<end>",
    "5~": "<page-up>",
    "6~": "<page-down>",
}

_KEY = re.compile(
    r"\x1b\[200~(?P<paste>.*?)\x1b\[201~"
    r"|\x1b(?:\[|O)(?P<sequence>[0-9;?]*[A-Za-z~])"
    r"|(?P<char>.)",
    re.DOTALL,
)
_UNFINISHED = re.compile(r"\x1b\[200~(?!.*\x1b\[201~).*\Z|\x1b(?:\[[0-9;?]*|O)?\Z", re.DOTALL)


def split_keys(text: str) -> tuple[list[str], str]:
    """Return the keys in the input of a terminal, and the start of a sequence that is not complete."""
    unfinished = _UNFINISHED.search(text)
    rest = text[unfinished.start() :] if unfinished else ""
    keys = []
    for match in _KEY.finditer(text[: len(text) - len(rest)]):
        if match["paste"] is not None:
            keys.append(PASTED + match["paste"].replace("\r", "\n"))
        elif match["sequence"] is not None:
            keys.append(_SEQUENCES.get(match["sequence"], "<unknown>"))
        else:
            keys.append(_NAMES.get(match["char"], match["char"]))
    return keys, rest


def is_printable(key: str) -> bool:
    """Return whether a key is a printable character."""
    return len(key) == 1 and unicodedata.category(key)[0] != "C"
