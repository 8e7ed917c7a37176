"""Read the variables of a CI system that name a commit, a pull request, and a token.

Their values become part of a URL, so they must match in full.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from evalkit.core.errors import InvalidInput

_NUMBER = re.compile(r"[1-9][0-9]{0,18}")
_SHA = re.compile(r"[0-9a-f]{12,64}")


def read_first(environ: Mapping[str, str], *names: str) -> str:
    """Return the first of these variables that is set and not empty; empty if none is."""
    return next((text for name in names if (text := environ.get(name, ""))), "")


def read_sha(environ: Mapping[str, str], *names: str) -> str:
    """Return the commit that the first of these variables names; empty if that is no commit."""
    return check_sha(read_first(environ, *names))


def check_sha(text: str) -> str:
    """Return a text if it is the id of a commit, which Bitbucket may shorten; else an empty one."""
    return text if _SHA.fullmatch(text) else ""


def check_number(text: str) -> str:
    """Return a text if it is the number of a project or pull request; else an empty one."""
    return text if _NUMBER.fullmatch(text) else ""


def read_token(environ: Mapping[str, str], *names: str, remedy: str) -> str:
    """Return the first of these variables that is set.

    Raises:
        InvalidInput: none is; the message ends with the remedy.
    """
    if token := read_first(environ, *names):
        return token
    raise InvalidInput.single(f"{names[0]} is not set. {remedy}")
