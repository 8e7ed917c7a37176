"""Expand `${NAME}` variables in URLs and headers, check headers, and find the secrets in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: token
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_SECRET_HEADER = re.compile(r"auth|cookie|key|secret|token", re.IGNORECASE)

MIN_HEADER_SECRET_LENGTH = 8
"""A shorter value is hardly a key, and removing it from replies could damage a correct answer."""


def find_variables(texts: Iterable[str]) -> list[str]:
    """Return the names of the environment variables that texts refer to as `${NAME}`."""
    return [name for text in texts for name in _VARIABLE.findall(text)]


def expand_variables(text: str, environ: Mapping[str, str]) -> str:
    """Replace variables by their values; `find_unset_variables` reports those that are not set."""
    return _VARIABLE.sub(lambda match: environ.get(match[1], ""), text)


def expand_headers(headers: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return headers with the values of their variables."""
    return {name: expand_variables(value, environ) for name, value in headers.items()}


def strip_variables(text: str) -> str:
    """Return a text without its variables, for messages."""
    return _VARIABLE.sub("", text)


def find_unset_variables(texts: Iterable[str], environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a message for each variable that is not set."""
    for name in dict.fromkeys(find_variables(texts)):
        if name not in environ:
            yield f"environment variable {name!r} is not set. Set it, or remove '${{{name}}}'."


def find_header_problems(headers: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a message for each header that cannot be sent."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            yield f"{name!r} is not a valid header name."
        if not _HEADER_VALUE.fullmatch(expand_variables(value, environ)):
            yield f"the value of header {name!r} has a line break or control character in it."


def find_header_secrets(headers: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    """Return the values of variables in headers whose names suggest a secret."""
    names = find_variables(value for name, value in headers.items() if _SECRET_HEADER.search(name))
    return [environ[name] for name in names if len(environ[name]) >= MIN_HEADER_SECRET_LENGTH]
