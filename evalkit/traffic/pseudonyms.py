"""Values to stable tokens such as `<email:3f9a1c2b4d5e>`, which say nothing without the key."""

from __future__ import annotations

import hashlib
import hmac

from evalkit.detectors.tokens import TOKEN, TOKEN_DIGITS


class Pseudonymizer:
    """Replaces values by tokens: the same value has the same token, under one key.

    A token is the beginning of HMAC-SHA256 (RFC 2104) of kind and value. With another key, all tokens
    differ, so that nothing joins.
    """

    def __init__(self, key: bytes) -> None:
        self._hmac = hmac.new(key, digestmod=hashlib.sha256)

    @property
    def key_id(self) -> str:
        """A name of the key that does not give it away; imports with different ones do not join."""
        return self._digest("key", "evalkit")

    def tokenize(self, kind: str, value: str) -> str:
        """Return the token of a value; that of a token is itself."""
        return value if TOKEN.fullmatch(value) else f"<{kind}:{self._digest(kind, value)}>"

    def _digest(self, kind: str, value: str) -> str:
        keyed = self._hmac.copy()
        keyed.update(f"{kind}\0{value}".encode("utf-8", "surrogatepass"))
        return keyed.hexdigest()[:TOKEN_DIGITS]
