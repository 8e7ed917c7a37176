"""HTML built from elements, in which every text is data: only what is built here is markup."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import TypeAlias

from evalkit.core.safe_text import escape_unsafe


class Html(str):
    """A piece of markup, made by `tag`; any other text is escaped when it is put into one."""

    __slots__ = ()


Child: TypeAlias = "Html | str | Iterable[Html] | None"

_EMPTY = frozenset({"br", "hr", "input", "meta", "line", "rect", "circle", "path"})


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Html:
    """One element; `class_` and `for_` stand for words Python keeps, `_` in names for `-`.

    >>> tag("p", "1 < 2", class_="note")
    '<p class="note">1 &lt; 2</p>'
    """
    opening = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _EMPTY:
        return Html(
            f"<{name}{opening}>" if name in ("br", "hr", "input", "meta") else f"<{name}{opening}/>"
        )
    return Html(f"<{name}{opening}>{''.join(map(_child_markup, children))}</{name}>")


def join(children: Iterable[Child]) -> Html:
    """Several pieces one after another."""
    return Html("".join(map(_child_markup, children)))


def escape(text: str) -> Html:
    """Data as text: what is invisible or reorders it is shown, what is markup means nothing."""
    return Html(html.escape(escape_unsafe(text, newlines=True), quote=True))


def _child_markup(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    return escape(child) if isinstance(child, str) else join(child)


def _attribute(key: str, value: str | float | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    text = value if isinstance(value, str) else f"{value:g}"
    return f' {name}="{html.escape(escape_unsafe(text), quote=True)}"'


_TOKEN = re.compile(r"\s+|[^\s\w]|\w+")
_MOST_TOKENS = 1500
"""On each side; the comparison takes time that grows with the square."""


def word_diff(before: str, after: str) -> Html:
    """The words of both texts, those only in `before` deleted, those only in `after` inserted."""
    left, right = _TOKEN.findall(before), _TOKEN.findall(after)
    if max(len(left), len(right)) > _MOST_TOKENS:
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
