"""JSON in one spelling, and its digest: equal content gives equal bytes, whatever the key order."""

from __future__ import annotations

import hashlib
import json

from evalkit.records import Json


def canonical(value: Json) -> str:
    """One line of strict JSON: keys sorted, no spaces, ASCII, no NaN (ValueError)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Json) -> str:
    """The first 16 hex digits of the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]
