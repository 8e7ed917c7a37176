"""The rules of gitleaks, read as data, to the secrets that they find in a text.

RE2 runs them, in time linear in the text. Three things differ from gitleaks, because chats are not
source code. A token may be followed by any character that is no part of a token, such as a comma. A
secret extends to the end of the token. Rules and exceptions about the paths of files do not apply.
"""

from __future__ import annotations

import math
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from evalkit.core.literals import Json
from evalkit.detectors.findings import Finding

if TYPE_CHECKING:
    import re2

_TERMINATOR = r"""(?:[\x60'"\s;]|\\[nr]|$)"""
_RELAXED_TERMINATOR = "(?:[^0-9A-Za-z_+/=-]|$)"
_TOKEN_CHARACTERS = frozenset(
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-+/=.~%"
)
_QUOTES = (b'"', b"'", b"`")
_TOKEN_END = b".-/=+~%"

MAX_LINE_CHARS = 500
"""Characters of a line, before and after a match, that exceptions look at."""


class _Exception(NamedTuple):
    """What is no secret although the pattern of a rule matches it."""

    target: str
    patterns: tuple[re2._Regexp, ...]
    stop_words: re2.Set | None

    def covers(self, secret: bytes, match: bytes, line: bytes) -> bool:
        text = {"match": match, "line": line}.get(self.target, secret)
        if any(pattern.search(text) for pattern in self.patterns):
            return True
        return self.stop_words is not None and bool(self.stop_words.Match(secret.lower()))


class _Rule(NamedTuple):
    name: str
    pattern: re2._Regexp
    group: int
    entropy: float
    exceptions: tuple[_Exception, ...]


class SecretRules:
    """The compiled rules, and the keywords of which a text must have one for a rule to run.

    `keywords` has the keywords in lower case, `rules_of` the indexes of the rules of each.
    """

    def __init__(self, document: Mapping[str, Json]) -> None:
        shared = _read_exceptions([document.get("allowlist", {})])
        written = [each for each in document["rules"] if "regex" in each]
        self._rules = [_read_rule(each, shared) for each in written]
        self.rules_of: dict[str, list[int]] = {}
        for index, each in enumerate(written):
            for keyword in each["keywords"]:
                self.rules_of.setdefault(keyword.lower(), []).append(index)

    def find(self, data: bytes, keywords: Sequence[str]) -> Iterator[Finding]:
        """Yield the secrets in a text of ASCII characters that has these keywords."""
        indexes = sorted({index for keyword in keywords for index in self.rules_of[keyword]})
        for rule in map(self._rules.__getitem__, indexes):
            done = 0
            for match in rule.pattern.finditer(data):
                group = rule.group or _find_group(match)
                start, end = match.span(group)
                if data[start:end][:1] in _QUOTES and data[start:end][-1:] in _QUOTES:
                    start, end = start + 1, end - 1
                secret = data[start:end]
                if not secret or measure_entropy(secret) <= rule.entropy:
                    continue
                line = _find_line(data, match.start(), match.end())
                if not any(each.covers(secret, match[0], line) for each in rule.exceptions):
                    # A token that was extended already is not read again, which would take quadratic time.
                    end = done = done if start < done else extend_token(data, end)
                    value = data[start:end].decode()
                    yield Finding(start, end, "secret", value, rule.name)


@cache
def load_secret_rules() -> SecretRules:
    """Read and compile the rules, which takes about 0.15 s."""
    text = files("evalkit.detectors").joinpath("gitleaks.toml").read_text(encoding="utf-8")
    return SecretRules(tomllib.loads(text))


def extend_token(data: bytes, end: int) -> int:
    """Return where the token ends that has a character before `end`, without the punctuation after it."""
    stop = end
    while stop < len(data) and data[stop] in _TOKEN_CHARACTERS:
        stop += 1
    while stop > end and data[stop - 1] in _TOKEN_END:
        stop -= 1
    return stop


def measure_entropy(data: bytes) -> float:
    """Return the Shannon entropy of the bytes, in bits per byte.

    >>> measure_entropy(b"aabb")
    1.0
    """
    total = len(data)
    return -sum(n / total * math.log2(n / total) for n in Counter(data).values())


def _read_rule(written: Mapping[str, Json], shared: tuple[_Exception, ...]) -> _Rule:
    pattern = written["regex"]
    if pattern.endswith(_TERMINATOR):
        pattern = pattern.removesuffix(_TERMINATOR) + _RELAXED_TERMINATOR
    return _Rule(
        name=written["id"],
        pattern=_compile(pattern),
        group=written.get("secretGroup", 0),
        entropy=written.get("entropy", 0.0),
        exceptions=(*shared, *_read_exceptions(written.get("allowlists", []))),
    )


def _read_exceptions(written: Sequence[Mapping[str, Json]]) -> tuple[_Exception, ...]:
    return tuple(
        _Exception(
            target=each.get("regexTarget", "secret"),
            patterns=tuple(map(_compile, each.get("regexes", ()))),
            stop_words=_compile_words(each.get("stopwords", ())),
        )
        for each in written
        # No text of a chat is at the path that it requires as well.
        if each.get("condition") != "AND" or "paths" not in each
    )


def _compile(pattern: str) -> re2._Regexp:
    # Imported here, because only sets and commands that look for secrets should pay for it.
    import re2  # noqa: PLC0415

    return re2.compile(pattern)


def _compile_words(words: Sequence[str]) -> re2.Set | None:
    import re2  # noqa: PLC0415

    if not words:
        return None
    found = re2.Set.SearchSet()
    for word in words:
        found.Add(re2.escape(word.lower()))
    found.Compile()
    return found


def _find_group(match: re2._Match) -> int:
    """Return the first group that matched something, as gitleaks does; 0 if there is none."""
    return next((index for index, text in enumerate(match.groups(), 1) if text), 0)


def _find_line(data: bytes, start: int, end: int) -> bytes:
    """Return the line of a match, at most MAX_LINE_CHARS before and after it."""
    least, most = max(0, start - MAX_LINE_CHARS), min(len(data), end + MAX_LINE_CHARS)
    first = max(least, data.rfind(b"\n", least, start) + 1)
    last = data.find(b"\n", end, most)
    return data[first : most if last < 0 else last]
