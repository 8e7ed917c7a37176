"""A text to bytes of the same length, so that the offsets of a match are those of the text."""

from __future__ import annotations


def to_ascii(text: str) -> bytes:
    r"""Return a text with `?` for each character that is not ASCII: one byte for each character.

    >>> to_ascii("caf\u00e9 \U0001f600")
    b'caf? ?'
    """
    return text.encode("ascii", "replace")
