"""Environment variables to the values that must not be stored: which of them are secrets."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection, Iterator, Mapping
from urllib.parse import unquote

from evalkit.core.literals import Json

MIN_SECRET_CHARS = 8
"""Length of the shortest secret. Replacing a shorter value would redact ordinary words."""

MAX_WORD_CHARS = 15
"""Length of the longest single word, such as `production`, that is no secret whatever its variable is called."""

MIN_LINE_CHARS = 16
"""Length of the shortest line of a value of several lines, such as a PEM key, that counts by itself."""

_SECRET_NAME = re.compile(
    r"passw|passphrase|secret|cookie|webhook|credential|authorization|api_?key|access_?key|private_?key"
    r"|connection_?string|access_?token"
    r"|(?:^|_)(?:dsn|sas)(?:_|$)"
    r"|(?:(?:^|_)(?:key|key_id|token|pass|auth|pat|jwt|bearer)|._pwd)(?:_(?:v?\d+|b64|base64|pem))?$",
    re.IGNORECASE,
)
_PASSWORD_IN_URL = re.compile(r"\w://[^/@:\s]*:([^/@\s]+)@")
_SCHEME = re.compile(r"(?:basic|bearer|token|apikey)\s+(\S+)$", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")
_SEPARATORS = re.compile(r"[-_./:@,;=?&\\\s]+")
_ORDINARY_PART = re.compile(r"(?:[A-Za-z]?[a-z]+|[A-Z]+)\d{0,2}|\d{1,8}|")
MAX_CODE_CHARS = 4


def is_secret_name(name: str) -> bool:
    """Return whether the name of a variable says that its value is a secret.

    >>> [name for name in ("MY_KEY", "SENTRY_DSN", "PWD", "MAX_TOKENS") if is_secret_name(name)]
    ['MY_KEY', 'SENTRY_DSN']
    """
    return bool(_SECRET_NAME.search(name))


def is_redactable(value: str) -> bool:
    """Return whether a value is long enough, and more than one word, so that no answer has it by chance.

    >>> [value for value in ("production", "short", "hunter2-hunter2") if is_redactable(value)]
    ['hunter2-hunter2']
    """
    if len(value) < MIN_SECRET_CHARS:
        return False
    return not (_WORD.fullmatch(value) and len(value) <= MAX_WORD_CHARS and _is_plain(value))


def looks_random(value: str) -> bool:
    """Return whether a value is more than words, numbers, and short codes: a key rather than a setting.

    >>> [value for value in ("gpt-4o-mini", "https://localhost:80/v1", "x7Kq9-2pL0z") if looks_random(value)]
    ['x7Kq9-2pL0z']
    """
    if not is_redactable(value):
        return False
    mixed = [part for part in _SEPARATORS.split(value) if not _ORDINARY_PART.fullmatch(part)]
    # One short code, as in `gpt-4o`, is usual; a license key has several.
    return len(mixed) > 1 or any(len(part) > MAX_CODE_CHARS for part in mixed)


def _is_plain(word: str) -> bool:
    return word.islower() or word.isupper() or word.istitle()


def find_secrets(environ: Mapping[str, str], named: Collection[str] = ()) -> dict[str, str]:
    """Return the secrets in an environment, each with the name of its variable.

    Args:
        environ: the variables.
        named: names of variables that an eval set names. Their values are secrets if they look random,
            whatever the name says.
    """
    found: dict[str, str] = {}
    for name, value in environ.items():
        says_secret = is_secret_name(name)
        is_random = name in named and looks_random(value.strip())
        whole = [value.strip()] if says_secret or is_random else []
        parts = _list_parts(value) if whole else ()
        passwords = _PASSWORD_IN_URL.findall(value) if "://" in value else ()
        for secret in (*whole, *parts, *passwords, *map(unquote, passwords)):
            if is_redactable(secret):
                found.setdefault(secret, name)
    return found


def _list_parts(value: str) -> Iterator[str]:
    """Yield the parts of a secret that are secrets: what follows `Bearer`, lines, values in JSON."""
    if scheme := _SCHEME.match(value.strip()):
        yield scheme[1]
        yield from _list_basic_parts(scheme[1])
    if "\n" in value.strip():
        lines = map(str.strip, value.splitlines())
        yield from (
            line for line in lines if len(line) >= MIN_LINE_CHARS and not line.startswith("--")
        )
    if value.lstrip().startswith("{"):
        try:
            yield from _list_json_secrets(json.loads(value))
        except (ValueError, RecursionError):
            return


def _list_basic_parts(text: str) -> Iterator[str]:
    """Yield the password in the base64 of `user:password`."""
    try:
        decoded = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeError):
        return
    yield decoded.partition(":")[2]


def _list_json_secrets(value: Json, name: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _list_json_secrets(item, str(key))
    elif isinstance(value, str) and is_secret_name(name):
        yield value.strip()
        yield from _list_parts(value)
