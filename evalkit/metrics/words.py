"""Words for values in explanations and error messages: what kind they are, where they differ."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from evalkit.records import Json

QUOTED = 80
"""Characters of a value shown in an explanation; the whole of it is stored with the trial."""

_LEAD = 20
_LISTED = 5


def kind_of(value: Json) -> str:
    """What a value is, in the words of an eval set's author."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {quote(value)}"
    if isinstance(value, str):
        return f"the text {quote(value)}"
    return "a mapping" if isinstance(value, Mapping) else "a list"


def quote(value: Json) -> str:
    """A value's repr, cut to what a reader takes in."""
    if isinstance(value, str):
        return f"{value[:QUOTED]!r}{'…' if len(value) > QUOTED else ''}"
    text = repr(value)
    return text if len(text) <= QUOTED else f"{text[:QUOTED]}…"


def enumerate_values(values: Sequence[Json]) -> str:
    """Values quoted and separated by commas, the first ones when there are many."""
    shown = ", ".join(quote(value) for value in values[:_LISTED])
    rest = len(values) - _LISTED
    return f"{shown} and {rest} more" if rest > 0 else shown


def contrast(expected: str, got: str) -> str:
    """Two unequal texts side by side, from just before they part."""
    shorter = min(len(expected), len(got))
    same = bisect_left(range(1, shorter + 1), True, key=lambda n: expected[:n] != got[:n])
    start = same - _LEAD if same > QUOTED - _LEAD else 0
    # Texts that look the same are told apart by their code points.
    looks = unicodedata.normalize("NFC", expected) == unicodedata.normalize("NFC", got)
    spell = ascii if looks else repr
    one, other = (
        f"{'…' if start else ''}{spell(text[start : start + QUOTED])}"
        f"{'…' if len(text) > start + QUOTED else ''}"
        for text in (expected, got)
    )
    return f"expected {one}, got {other}"
