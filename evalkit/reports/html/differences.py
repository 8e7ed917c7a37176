"""Two texts as one, with what left and what came marked word by word."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from evalkit.reports.html.markup import Html, escape, join, tag

_PIECES = re.compile(r"\s+|[^\s\w]|\w+")
_MOST_PIECES = 1500
"""On each side; the comparison takes time that grows with the square."""


def text_difference(before: str, after: str) -> Html:
    """The words of both texts, those only in `before` deleted, those only in `after` inserted."""
    left, right = _PIECES.findall(before), _PIECES.findall(after)
    if max(len(left), len(right)) > _MOST_PIECES:
        return join([tag("del", before), tag("ins", after)])
    parts: list[Html] = []
    for kind, a, b, c, d in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append(escape("".join(left[a:b])))
            continue
        if b > a:
            parts.append(tag("del", "".join(left[a:b])))
        if d > c:
            parts.append(tag("ins", "".join(right[c:d])))
    return join(parts)
