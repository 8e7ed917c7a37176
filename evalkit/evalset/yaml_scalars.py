"""Format texts as YAML that every reader reads back unchanged."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from evalkit.core.safe_text import escape_character

# Much narrower than YAML's plain scalars: only texts that no YAML reader takes for anything else.
_PLAIN_SCALAR = re.compile(
    r"(?!(?:null|true|false)\Z)[A-Za-z](?:[A-Za-z0-9 ,.()/'_+-]*[A-Za-z0-9.)])?"
)
# Characters that YAML readers reject, or read differently, unless escaped in double quotes, and those that
# change the direction of text, so that it reads as something else.
_UNPRINTABLE = re.compile(
    "[^\n\x20-\x7e\xa0-\u200d\u2010-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufefe\uff00-\ufffd"
    "\U00010000-\U0010ffff]"
)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def format_scalar(text: str, *, indent: int) -> str:
    """Return a text in the most readable form; lines of a block begin with `indent` spaces."""
    if _PLAIN_SCALAR.fullmatch(text):
        return text
    lines = text.removesuffix("\n").split("\n")
    if _is_block_scalar(lines):
        chomping = "" if text.endswith("\n") else "-"
        block = (f"{' ' * indent}{line}" if line else "" for line in lines)
        return "\n".join([f"|{chomping}", *block])
    return quote_scalar(text)


def quote_scalar(text: str) -> str:
    """Return a text in double quotes, on one line."""
    return _UNPRINTABLE.sub(escape_character, json.dumps(text, ensure_ascii=False))


def replace_lone_surrogates(text: str) -> str:
    """Replace halves of surrogate pairs, which the JSON of an agent may contain: UTF-8 has none."""
    return _LONE_SURROGATE.sub("\ufffd", text)


def _is_block_scalar(lines: Sequence[str]) -> bool:
    """Return whether a block scalar preserves the lines: printable, and none of only spaces."""
    return (
        len(lines) > 1
        and lines[0][:1].strip() != ""
        and lines[-1] != ""
        and all(not line or line.strip() for line in lines)
        and not any(_UNPRINTABLE.search(line) for line in lines)
    )
