"""The terminal as a place for one screen at a time: raw keys in, whole frames out, and left as it was found."""

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

# xterm's private modes: another screen, no wrapping, pastes marked as such, no cursor.
_OPEN = "\x1b[?1049h\x1b[?7l\x1b[?2004h\x1b[?25l"
_CLOSE = "\x1b[?25h\x1b[?2004l\x1b[?7h\x1b[?1049l"

_ESCAPE_WAIT_S = 0.05
"""After this long an escape that nothing followed is the key itself."""

_SIZE_CHANGED, _STOPPED = b"w", b"t"


class Terminal(Protocol):
    """Where a sitting is held."""

    def size(self) -> tuple[int, int]:
        """Columns and rows, as they are now."""

    def show(self, lines: Sequence[str]) -> None:
        """Show these lines in place of those before."""

    def read_key(self) -> str:
        """Wait for the next key; `<resize>` when the size has changed."""


class RealTerminal:
    """The terminal of this process; see `open_terminal`."""

    def __init__(self, source: int, target: int, alarm: int) -> None:
        self._source = source
        self._target = target
        self._signal_pipe = alarm
        self._keys: deque[str] = deque()
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def size(self) -> tuple[int, int]:
        """As the terminal says; COLUMNS and LINES, which are of when the process began, do not count."""
        try:
            size = os.get_terminal_size(self._target)
        except OSError:
            size = shutil.get_terminal_size()
        # A pseudo-terminal that nobody gave a size has none.
        return size.columns or 80, size.lines or 24

    def show(self, lines: Sequence[str]) -> None:
        """Line by line over what is there, so that nothing flickers."""
        # Cleared before it is written: at the end of a full line that would take its last character.
        self.write("\x1b[H" + "\r\n".join(f"\x1b[2K{line}" for line in lines))

    def write(self, text: str) -> None:
        """All of it, however little the terminal takes at a time."""
        data = text.encode("utf-8", "backslashreplace")
        while data:
            data = data[os.write(self._target, data) :]

    def read_key(self) -> str:
        """The next key; what was typed fast comes one by one."""
        while not self._keys:
            # The end of a paste comes for sure, that of another sequence only if it is one.
            is_open = bool(self._rest) and not self._rest.startswith(PASTE_BEGINS)
            wait = _ESCAPE_WAIT_S if is_open else None
            ready, _, _ = select.select([self._source, self._signal_pipe], [], [], wait)
            if self._signal_pipe in ready:
                self._read_signals(os.read(self._signal_pipe, 64))
            elif self._source in ready:
                self._decode_keys(self._read())
            else:
                self._keys.append("<escape>" if self._rest == "\x1b" else "<unknown>")
                self._rest = ""
        return self._keys.popleft()

    def _read_signals(self, alarms: bytes) -> None:
        self._keys.append("<hangup>" if _STOPPED in alarms else "<resize>")

    def _read(self) -> bytes:
        try:
            return os.read(self._source, 4096)
        except OSError:  # the terminal is gone
            return b""

    def _decode_keys(self, data: bytes) -> None:
        if not data:
            self._keys.append("<hangup>")
            return
        keys, self._rest = split_keys(self._rest + self._decoder.decode(data))
        self._keys.extend(keys)


@contextmanager
def open_terminal(source: int, target: int) -> Iterator[RealTerminal]:
    """Hold the terminal; however this ends, it is given back as it was.

    Signals that would end the process become the key `<hangup>`, so that nothing is left half done.
    """
    heard, told = os.pipe()
    os.set_blocking(told, False)
    terminal = RealTerminal(source, target, heard)
    try:
        with _signals_to(told), _raw_keys(source):
            try:
                terminal.write(_OPEN)
                yield terminal
            finally:
                # A terminal that is gone wants nothing back.
                with suppress(OSError):
                    terminal.write(_CLOSE)
    finally:
        os.close(heard)
        os.close(told)


@contextmanager
def _raw_keys(source: int) -> Iterator[None]:
    """Keys come one by one and unseen, and ^C is a key too."""
    before = termios.tcgetattr(source)
    incoming, outgoing, control, local, *rest = before
    local &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
    incoming &= ~(termios.ICRNL | termios.IXON)
    try:
        # What was typed before anything could be read was meant for something else.
        termios.tcsetattr(source, termios.TCSAFLUSH, [incoming, outgoing, control, local, *rest])
        yield
    finally:
        with suppress(termios.error):
            termios.tcsetattr(source, termios.TCSADRAIN, before)


@contextmanager
def _signals_to(descriptor: int) -> Iterator[None]:
    """Have a byte written for every signal that matters here."""

    def tell(number: int, _: FrameType | None) -> None:
        # A pipe that is full has told it often enough.
        with suppress(BlockingIOError):
            os.write(descriptor, _SIZE_CHANGED if number == signal.SIGWINCH else _STOPPED)

    numbers = (signal.SIGWINCH, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = {number: signal.signal(number, tell) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


PASTED = "<paste>"
"""What a pasted text starts with, so that it is not taken for keys."""

PASTE_BEGINS = "\x1b[200~"
"""What a terminal sends before a paste."""

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

# What xterm, the Linux console and tmux send (ECMA-48 CSI, and SS3 in application mode).
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
    """The keys in what a terminal sent, and the beginning of one whose end has not come yet."""
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
    """Whether a key stands for a printable character."""
    return len(key) == 1 and unicodedata.category(key)[0] != "C"
