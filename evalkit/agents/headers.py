"""HTTP headers as a set writes them: environment variables put in, and what no server would take."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: token
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_SECRET_HEADER = re.compile(r"auth|cookie|key|secret|token", re.IGNORECASE)

SHORTEST_SECRET = 8
"""What is shorter is no key, and blanking it out could spoil an honest answer."""


def variables_in(texts: Iterable[str]) -> list[str]:
    """The names of the environment variables that texts ask for as `${NAME}`."""
    return [name for text in texts for name in _VARIABLE.findall(text)]


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Put in environment variables; `find_unset` tells those that are not set."""
    return _VARIABLE.sub(lambda match: environ.get(match[1], ""), text)


def without_variables(text: str) -> str:
    """A text for messages, in which no variable is looked up."""
    return _VARIABLE.sub("", text)


def find_unset(texts: Iterable[str], environ: Mapping[str, str]) -> Iterator[str]:
    """A message for each variable that is asked for and not set."""
    for name in dict.fromkeys(variables_in(texts)):
        if name not in environ:
            yield f"environment variable {name!r} is not set. Set it, or take '${{{name}}}' out."


def find_header_trouble(headers: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[str]:
    """A message for each header that cannot be sent."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            yield f"{name!r} is no name of a header."
        if not _HEADER_VALUE.fullmatch(expand(value, environ)):
            yield f"the value of header {name!r} has a line break or control character in it."


def secrets_in(headers: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    """The values of variables in headers whose names speak of secrets."""
    names = variables_in(value for name, value in headers.items() if _SECRET_HEADER.search(name))
    return [environ[name] for name in names if len(environ[name]) >= SHORTEST_SECRET]
