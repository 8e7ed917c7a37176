"""Secrets that a text names: `password: …`, `API_KEY=…`, `Bearer …`, a password in a URL, a PEM key.

The rules of gitleaks know tokens by their form. Passwords have none, so only the name before one, as a
person or a program writes it, says what it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING

from evalkit.core.secret_values import is_secret_name, looks_random
from evalkit.detectors.findings import Finding
from evalkit.detectors.secret_rules import extend_token

if TYPE_CHECKING:
    import re2

NAMED_SECRET_WORDS = (
    "pass", "pwd", "kennwort", "wachtwoord", "senha", "contrase", "pin", "secret", "token", "key", "credential", "cookie", "auth", "bearer", "basic",
    "webhook", "dsn", "pat", "jwt", "://", "private key", "sk-", "pk-", "gsk_", "xai-", "pplx-", "r8_", "nvapi-",
)  # fmt: skip
"""A text has one of these words, in any case, if it has a named secret."""

_VALUE = r"""[^\s"'`,;<>{}\[\]()]"""
_ASSIGNMENT = (
    rf"""([A-Za-z][\w.-]{{1,60}})["'`]?\s{{0,4}}(?:=>|:=|=|:)\s{{0,4}}["'`]?({_VALUE}{{6,}})"""
)
_SPOKEN = (
    r"(?i)\b(pass(?:word|code|phrase|wd|wort)|pwd|kennwort|wachtwoord|senha|contrase.a|mot de passe)\b"
    r"(?:\s+(?:is|was|to|ist|war|lautet|es|est)\b|\s{0,3}[:=])[:\s]{0,3}(?:now\s+)?"
    rf"""["'`]?({_VALUE}{{4,200}})"""
)
_PIN = r"(?i)\b(pin)\b(?:\s+(?:code|number))?(?:\s+(?:is|was)|\s{0,3}[:=])\s{0,3}([0-9]{4,8})\b"
_SCHEME = r"(?i)\b(bearer|basic)\s{1,4}([A-Za-z0-9._~+/=-]{16,})"
_URL = r"\w(://)[^/@:\s]{0,200}:([^/@\s]{3,200})@"
_COOKIE = r"(?i)\b((?:set-)?cookie):[ \t]{0,4}([\w.-]{1,80}=[^\r\n]{4,})"
_PEM = (
    r"(-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----)"
    r"((?:(?:\s|\\[nr])*[A-Za-z0-9+/=]{20,})+(?:(?:\s|\\[nr])+[A-Za-z0-9+/]{1,19}={1,2})?)"
)
_MODEL_KEY = (
    r"(?:^|[^0-9A-Za-z_-])((?:sk|pk)-(?:[a-z]{2,8}[0-9]{0,2}-){0,3}|gsk_|xai-|pplx-|r8_|nvapi-)"
    r"([0-9A-Za-z][0-9A-Za-z_-]{19,})"
)
_DIGIT = re.compile("[0-9]")
_PLACEHOLDERS = (
    "example",
    "placeholder",
    "changeme",
    "redacted",
    "xxxx",
    "****",
    "....",
    "your",
    "${",
    "$(",
    "%(",
)


def find_named_secrets(data: bytes) -> Iterator[Finding]:
    """Yield the secrets that a text of ASCII characters names."""
    for rule, pattern, accepts in _compile_patterns():
        for match in pattern.finditer(data):
            name, value = match[1].decode(), match[2].decode()
            if accepts(name, value) and not _is_placeholder(value):
                start, end = match.span(2)
                if rule == "assignment":
                    end = extend_token(data, end)
                value = data[start:end].decode()
                stripped = value.rstrip(".,;:?")
                yield Finding(start, start + len(stripped), "secret", stripped, rule)


@cache
def _compile_patterns() -> list[tuple[str, re2._Regexp, Callable[[str, str], bool]]]:
    import re2  # noqa: PLC0415

    rules: dict[str, tuple[str, Callable[[str, str], bool]]] = {
        "assignment": (_ASSIGNMENT, _is_assigned_secret),
        "password": (_SPOKEN, _is_password),
        "pin": (_PIN, _accept),
        "authorization": (_SCHEME, _is_random),
        "password-in-url": (_URL, _accept),
        "cookie": (_COOKIE, _accept),
        "private-key": (_PEM, _accept),
        "model-api-key": (_MODEL_KEY, _is_key),
    }
    return [(name, re2.compile(pattern), accepts) for name, (pattern, accepts) in rules.items()]


def _accept(name: str, value: str) -> bool:  # noqa: ARG001 - one signature for all rules
    return True


def _is_random(name: str, value: str) -> bool:  # noqa: ARG001
    return looks_random(value)


def _is_key(name: str, value: str) -> bool:  # noqa: ARG001
    """Return whether a value after the prefix of a key has a long run of digits and letters."""
    return any(len(run) >= 12 and _DIGIT.search(run) for run in re.split("[_-]", value))


def _is_assigned_secret(name: str, value: str) -> bool:
    core = value.rstrip(".,;:?")
    # A word without digits, as in `key: SeriesKey`, is a name in code.
    return (
        is_secret_name(re.sub(r"[.-]", "_", name))
        and looks_random(core)
        and bool(_DIGIT.search(core))
    )


def _is_password(name: str, value: str) -> bool:  # noqa: ARG001 - one signature for all rules
    """Return whether a value after the word *password* is more than a word of the sentence."""
    core = value.rstrip(".,;:?")
    if len(core) < 4 or core.startswith("/"):
        return False
    # Signs that join words, as in `reset-link`, are no sign of a password.
    return any(not each.isalpha() and each not in "-'_./" for each in core)


def _is_placeholder(value: str) -> bool:
    """Return whether a value says that something else goes here, such as `${PASSWORD}` or `********`."""
    lower = value.lower()
    return len(set(value)) < 3 or any(word in lower for word in _PLACEHOLDERS)
