"""Replace secrets and personal data in recorded traffic by stable tokens, before anything is stored."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from evalkit.core.literals import Json
from evalkit.core.redaction import TEXT_IN_JSON, Redactor
from evalkit.core.secret_values import find_secrets
from evalkit.detectors.findings import Finding, merge_findings
from evalkit.detectors.scanner import DEFAULT_REGIONS, KINDS, Scanner
from evalkit.detectors.tokens import TOKEN
from evalkit.traffic.personal_fields import classify_field
from evalkit.traffic.pseudonyms import Pseudonymizer

MAX_DEPTH = 16
"""How often the text between two tokens is searched again, because it begins and ends anew there."""

MAX_CACHED_CHARS = 8_000_000
"""Characters of texts whose redaction is remembered; prompts and earlier turns occur again and again."""

_MIN_NUMBER = 10**11

_ESCAPED_FIELD = re.compile(r'(\\+)"([\w .-]{1,60})\1"\s{0,4}:\s{0,4}\1"([^"\\]{1,2000})\1"')
"""A field of JSON in a text of JSON, at any depth: each quote has backslashes before it."""


class TrafficRedactor:
    """Replaces secrets and personal data by tokens, and counts what it replaced by kind.

    What is redacted once, stays as it is when redacted again. Searching takes time linear in the text.

    Args:
        key: the key of the tokens, from `load_redaction_key`.
        regions: regions of phone numbers that are written without a country code.
        keep_pii: keep personal data, users, and sessions; secrets are replaced all the same.
        environ: an environment whose secrets are redacted wherever they occur.
    """

    def __init__(
        self,
        key: bytes,
        *,
        regions: Sequence[str] = DEFAULT_REGIONS,
        keep_pii: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.keep_pii = keep_pii
        self.regions = tuple(regions)
        self._pseudonyms = Pseudonymizer(key)
        self._scanner = Scanner(("secret",) if keep_pii else KINDS, regions)
        self._known = Redactor(environ or {})
        self._markers = {
            f"***{name}***": self._pseudonyms.tokenize("secret", name)
            for name in find_secrets(environ or {}).values()
        }
        self._cache: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._cached_chars = 0

    def describe(self) -> dict[str, Json]:
        """Return how values were replaced, to be stored with what was imported."""
        return {
            "keep_pii": self.keep_pii,
            "key_id": self._pseudonyms.key_id,
            "regions": list(self.regions),
        }

    def pseudonym(self, kind: str, value: str) -> str:
        """Return the token of a whole value, such as a user or a session; with `keep_pii` the value."""
        if not value or self.keep_pii:
            return value
        token = self._pseudonyms.tokenize(kind, value)
        self.counts[kind] += token != value
        return token

    def redact_text(self, text: str) -> str:
        """Return a text with what must not be stored replaced."""
        known = self._cache.get(text)
        if known is None:
            kinds: list[str] = []
            known = self._redact(text, kinds), tuple(kinds)
            self._remember(text, known)
        if known[1]:
            self.counts.update(known[1])
        return known[0]

    def redact_json(self, value: Json, name: str = "") -> Json:
        """Return a value with its texts redacted, and whole values under names such as `first_name`."""
        if isinstance(value, str):
            kind = self._classify(name)
            return self._replace_field(kind, value) if kind else self.redact_text(value)
        if isinstance(value, Mapping):
            # The parent's name counts as well, as in `user: {id: …}`.
            parent = f"{name.rpartition('.')[2]}." if name else ""
            return {
                self.redact_text(key): self.redact_json(item, f"{parent}{key}")
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.redact_json(item, name) for item in value]
        if isinstance(value, int) and not isinstance(value, bool):
            return self._redact_number(value, name)
        return value

    def _redact_number(self, value: int, name: str) -> Json:
        """Return a number, or the token of one that is personal data, such as the number of a card."""
        kind = self._classify(name)
        if kind and kind != "secret":
            return self._replace_field(kind, str(value))
        if value < _MIN_NUMBER:
            return value
        text = str(value)
        redacted = self.redact_text(text)
        return value if redacted == text else redacted

    def _classify(self, name: str) -> str:
        kind = classify_field(name) if name else ""
        return "" if self.keep_pii and kind != "secret" else kind

    def _replace_field(self, kind: str, value: str) -> str:
        """Return the token of a field's value; that of a value found in a text is the same."""
        if not value.strip() or TOKEN.search(value):
            return self.redact_text(value)
        finding = self._read_field(kind, value)
        self.counts[finding.kind] += 1
        return self._pseudonyms.tokenize(finding.kind, finding.value)

    def _read_field(self, kind: str, value: str) -> Finding:
        """Return what a field holds: a value in the spelling of its kind, where that is known."""
        core = value.strip()
        # Users and sessions are replaced elsewhere by the value as it is.
        if kind not in {"user", "session"}:
            # Digits in one block are a phone number only after a word that says so.
            before = "tel. " if kind == "phone" else ""
            for found in self._scanner.find(before + core):
                if (found.start, found.end) == (len(before), len(before) + len(core)):
                    return found._replace(start=0, end=len(value))
            core = core.casefold() if kind != "secret" else core
        return Finding(0, len(value), kind, core, "field")

    def _remember(self, text: str, known: tuple[str, tuple[str, ...]]) -> None:
        self._cached_chars += len(text) + 100
        if self._cached_chars > MAX_CACHED_CHARS:
            self._cache.clear()
            self._cached_chars = len(text)
        self._cache[text] = known

    def _redact(self, text: str, kinds: list[str]) -> str:
        known = self._known.redact_text(text)
        if known != text:
            for marker, replacement in self._markers.items():
                kinds += ["secret"] * known.count(marker)
                known = known.replace(marker, replacement)
        tokens = list(TOKEN.finditer(known))
        parts, at = [], 0
        for token in tokens:
            parts += [self._redact_part(known[at : token.start()], kinds), token[0]]
            at = token.end()
        return "".join((*parts, self._redact_part(known[at:], kinds)))

    def _redact_part(self, text: str, kinds: list[str], depth: int = 0) -> str:
        """Redact a text without tokens."""
        found = self._find(text)
        if not found:
            return text
        if depth == MAX_DEPTH:
            # Only a text made for it has values that appear one by one.
            kinds.append("secret")
            return self._pseudonyms.tokenize("secret", text)
        parts, at = [], 0
        for each in found:
            kinds.append(each.kind)
            parts += [
                self._redact_part(text[at : each.start], kinds, depth + 1),
                self._pseudonyms.tokenize(each.kind, each.value),
            ]
            at = each.end
        return "".join((*parts, self._redact_part(text[at:], kinds, depth + 1)))

    def _find(self, text: str) -> list[Finding]:
        found = self._scanner.find(text)
        if '":' not in text:
            return found
        fields = list(self._find_fields(text))
        return merge_findings([*fields, *found], text) if fields else found

    def _find_fields(self, text: str) -> Iterator[Finding]:
        """Yield the values under personal names in a text that is JSON, or has some in it."""
        for match in TEXT_IN_JSON.finditer(text):
            kind = self._classify(match[1])
            start = match.start() + len(match[1]) + len(match[2]) + 3
            end = match.end() - 1
            if kind and text[start:end].strip():
                field = self._read_field(kind, text[start:end])
                yield field._replace(start=start, end=end)
        for match in _ESCAPED_FIELD.finditer(text):
            kind, (start, end) = self._classify(match[2]), match.span(3)
            if kind and text[start:end].strip():
                field = self._read_field(kind, text[start:end])
                yield field._replace(start=start, end=end)
