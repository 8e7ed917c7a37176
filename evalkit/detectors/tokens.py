"""The tokens that replace values in stored texts, read back as what was there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from evalkit.core.secret_values import is_secret_name
from evalkit.detectors.findings import Finding

TOKEN_DIGITS = 12
"""Hexadecimal digits of a token. With a million values of one kind, two share a token with probability 0.002."""

TOKEN = re.compile(rf"<([a-z_]{{2,20}}):[0-9a-f]{{{TOKEN_DIGITS}}}>")
"""What replaces a value, such as `<email:3f9a1c2b4d5e>`."""

_MARKER = re.compile(r"\*\*\*([A-Za-z]\w{1,100})\*\*\*")


def find_tokens(text: str) -> Iterator[Finding]:
    """Yield the tokens of a text, and the markers of secrets of the environment, as what they replaced.

    >>> [each.kind for each in find_tokens("<email:3f9a1c2b4d5e>, ***API_KEY***, ***really***")]
    ['email', 'secret']
    """
    for match in TOKEN.finditer(text):
        yield Finding(*match.span(), match[1], match[0], "redacted")
    for match in _MARKER.finditer(text):
        # Markdown writes bold italics in the same way.
        if is_secret_name(match[1]):
            yield Finding(*match.span(), "secret", match[0], "redacted")
