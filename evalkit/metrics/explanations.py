"""Words for values in explanations and error messages: what kind they are, where they differ."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from evalkit.core.literals import Json

MOST_QUOTED_CHARACTERS = 80
"""Characters of a value shown in an explanation; the whole of it is stored with the trial."""

_LEAD_CHARS = 20
_MAX_LISTED = 5


def describe_kind(value: Json) -> str:
    """What a value is, in the words of an eval set's author."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {quote_value(value)}"
    if isinstance(value, str):
        return f"the text {quote_value(value)}"
    return "a mapping" if isinstance(value, Mapping) else "a list"


def quote_value(value: Json) -> str:
    """A value's repr, cut to what a reader takes in."""
    if isinstance(value, str):
        return f"{value[:MOST_QUOTED_CHARACTERS]!r}{'…' if len(value) > MOST_QUOTED_CHARACTERS else ''}"
    text = repr(value)
    return text if len(text) <= MOST_QUOTED_CHARACTERS else f"{text[:MOST_QUOTED_CHARACTERS]}…"


def enumerate_values(values: Sequence[Json]) -> str:
    """Values quoted and separated by commas, the first ones when there are many."""
    shown = ", ".join(quote_value(value) for value in values[:_MAX_LISTED])
    rest = len(values) - _MAX_LISTED
    return f"{shown} and {rest} more" if rest > 0 else shown


def describe_difference(expected: str, got: str) -> str:
    """Two unequal texts side by side, from just before they part."""
    shorter = min(len(expected), len(got))
    same = bisect_left(range(1, shorter + 1), True, key=lambda n: expected[:n] != got[:n])
    start = same - _LEAD_CHARS if same > MOST_QUOTED_CHARACTERS - _LEAD_CHARS else 0
    # Texts that look the same are told apart by their code points.
    looks = unicodedata.normalize("NFC", expected) == unicodedata.normalize("NFC", got)
    spell = ascii if looks else repr
    one, other = (
        f"{'…' if start else ''}{spell(text[start : start + MOST_QUOTED_CHARACTERS])}"
        f"{'…' if len(text) > start + MOST_QUOTED_CHARACTERS else ''}"
        for text in (expected, got)
    )
    return f"expected {one}, got {other}"
