"""Find secrets and personal data in a text: one pass decides which detectors have to look closer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import re2

from evalkit.detectors.ascii_form import to_ascii
from evalkit.detectors.findings import Finding, merge_findings
from evalkit.detectors.named_secrets import NAMED_SECRET_WORDS, find_named_secrets
from evalkit.detectors.national_ids import NATIONAL_ID_PATTERNS, find_national_ids
from evalkit.detectors.personal_data import (
    CARD_PATTERN,
    EMAIL_MARK,
    IBAN_PATTERN,
    PERSONAL_KINDS,
    PHONE_PATTERN,
    find_cards,
    find_emails,
    find_ibans,
    find_phones,
)
from evalkit.detectors.secret_rules import load_secret_rules

KINDS = ("secret", *PERSONAL_KINDS)
"""What a scanner can find."""

DEFAULT_REGIONS = ("US",)
"""Regions of phone numbers that are written without a country code."""

_LONG_WORD = (
    r"[0-9][0-9A-Za-z_+/=.\-]{5}|[0-9A-Za-z_+/=.\-]{5}[0-9]|[0-9A-Za-z_+/=.\-]{20}|PRIVATE KEY"
)
_MIN_CHARS = 5


class _Gate(NamedTuple):
    """Patterns, all searched for in one pass, and what each of them says may be in the text."""

    patterns: re2.Set
    names: tuple[str, ...]

    def match(self, data: bytes) -> list[str]:
        return [self.names[index] for index in self.patterns.Match(data) or ()]


@cache
def _open_word_gate() -> _Gate:
    """Return the gate of words; it also says whether a digit is part of a longer word, as in most tokens."""
    words = {*load_secret_rules().rules_of, *NAMED_SECRET_WORDS, EMAIL_MARK}
    patterns = {word: re2.escape(word) for word in sorted(words)}
    return _build_gate({**patterns, "<code>": _LONG_WORD, "<digits>": "[0-9].?[0-9]"})


@cache
def _open_number_gate() -> _Gate:
    national = {f"national_id {index}": each for index, each in enumerate(NATIONAL_ID_PATTERNS)}
    return _build_gate(
        {"card": CARD_PATTERN, "iban": IBAN_PATTERN, "phone": PHONE_PATTERN, **national}
    )


def _build_gate(patterns: dict[str, str]) -> _Gate:
    options = re2.Options()
    options.case_sensitive = False
    found = re2.Set.SearchSet(options)
    for pattern in patterns.values():
        found.Add(pattern)
    found.Compile()
    return _Gate(found, tuple(patterns))


class Scanner:
    """Finds values of some kinds in texts, in time linear in the text.

    Args:
        kinds: what to find, of KINDS.
        regions: regions of phone numbers without a country code.
    """

    def __init__(
        self, kinds: Collection[str] = KINDS, regions: Sequence[str] = DEFAULT_REGIONS
    ) -> None:
        self.kinds = frozenset(kinds)
        self._regions = tuple(regions)

    def find(self, text: str) -> list[Finding]:
        """Return what was found, in the order of the text and without overlaps."""
        if len(text) < _MIN_CHARS:
            return []
        data = to_ascii(text)
        words = _open_word_gate().match(data)
        if not words:
            return []
        found = list(self._find_secrets(data, words)) if "secret" in self.kinds else []
        if EMAIL_MARK in words and "email" in self.kinds:
            found += find_emails(text)
        if "<digits>" in words:
            found += self._find_numbers(text, _open_number_gate().match(data))
        return merge_findings(found, text) if found else []

    def _find_secrets(self, data: bytes, words: Sequence[str]) -> Iterator[Finding]:
        named = [word for word in words if word in NAMED_SECRET_WORDS]
        if named:
            yield from find_named_secrets(data)
        rules = load_secret_rules()
        if "<code>" in words:
            yield from rules.find(data, [word for word in words if word in rules.rules_of])

    def _find_numbers(self, text: str, matched: Sequence[str]) -> Iterator[Finding]:
        found: list[Finding] = []
        if "card" in matched:
            found += find_cards(text)
        if "iban" in matched:
            found += find_ibans(text)
        ids = [int(name.split()[1]) for name in matched if name.startswith("national_id")]
        found += find_national_ids(text, ids)
        if "phone" in matched:
            found += self._find_free_phones(text, found)
        yield from (each for each in found if each.kind in self.kinds)

    def _find_free_phones(self, text: str, found: Sequence[Finding]) -> Iterator[Finding]:
        """Yield phone numbers that are no part of a number of another kind."""
        taken = merge_findings(found, text)
        at = 0
        for phone in find_phones(text, self._regions):
            while at < len(taken) and taken[at].end <= phone.start:
                at += 1
            if at == len(taken) or taken[at].start >= phone.end:
                yield phone
