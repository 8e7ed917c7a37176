"""Bytes from a terminal into keys: a character as it is, any other key by a name such as `<enter>`."""

from __future__ import annotations

import re
import unicodedata

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


def is_text(key: str) -> bool:
    """Whether a key stands for a printable character."""
    return len(key) == 1 and unicodedata.category(key)[0] != "C"
