"""Seal what is stored with keys that no child process of evalkit gets, so that none can forge it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

MIN_KEY_CHARS = 16
"""Shorter keys could be guessed from a sealed entry."""

_PURPOSE = b"evalkit store\0"


class Seal:
    """Signs texts with the first of some secret keys, and accepts the signatures of all of them.

    The signature is HMAC-SHA256 (RFC 2104). Without a key of at least `MIN_KEY_CHARS`, nothing is signed.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        # Derived keys: a signature says nothing about other uses of the same secret.
        self._keys = [
            hashlib.sha256(_PURPOSE + key.encode("utf-8", "surrogateescape")).digest()
            for key in dict.fromkeys(keys)
            if len(key) >= MIN_KEY_CHARS
        ]

    def __bool__(self) -> bool:
        return bool(self._keys)

    def sign(self, text: str) -> str:
        """Return the signature of a text in hex; empty without a key."""
        return self._compute(self._keys[0], text) if self._keys else ""

    def is_valid(self, text: str, signature: object) -> bool:
        """Return whether one of the keys has signed the text; False without a key."""
        return isinstance(signature, str) and any(
            hmac.compare_digest(self._compute(key, text).encode(), signature.encode())
            for key in self._keys
        )

    @staticmethod
    def _compute(key: bytes, text: str) -> str:
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
