"""Decode the bytes of a reply as text or JSON, and report in flags what was changed."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable

from evalkit.core.limits import MAX_REPLY_BYTES
from evalkit.core.literals import Json

REPLACED_FLAG = "decoded_with_replacement"
REDACTED_FLAG = "redacted"

_MARKUP = re.compile(r"\s*<(!doctype|html|\?xml|[a-z]+[\s>])", re.IGNORECASE)


class ReplyTooLarge(Exception):
    """A reply is larger than MAX_REPLY_BYTES."""


class NotJson(Exception):
    """A reply that should be JSON is not; the message says what it is instead."""


async def read_capped(chunks: AsyncIterator[bytes]) -> bytes:
    """Return all chunks as one body.

    Raises:
        ReplyTooLarge: it is larger than MAX_REPLY_BYTES; the rest is not read.
    """
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > MAX_REPLY_BYTES:
            raise ReplyTooLarge
    return bytes(body)


def decode_text(body: bytes, charset: str = "utf-8") -> tuple[str, tuple[str, ...]]:
    """Return the text and flags of bytes; replace invalid bytes with U+FFFD and set a flag."""
    try:
        return body.decode(charset), ()
    except LookupError:  # a charset that Python does not know
        return decode_text(body)
    except UnicodeDecodeError:
        return body.decode(charset, errors="replace"), (REPLACED_FLAG,)


def read_json(text: str) -> Json:
    """Return the JSON value that is the whole text.

    Constants such as `NaN` are accepted here; `to_output` rejects them.

    Raises:
        NotJson: the text is something else.
    """
    if not text.strip():
        raise NotJson("nothing where JSON should be")
    if _MARKUP.match(text):
        raise NotJson("HTML or XML where JSON should be")
    try:
        return json.loads(text)
    except RecursionError:
        raise NotJson("JSON that is nested too deeply to be read") from None
    except ValueError as wrong:
        raise NotJson(f"invalid JSON: {wrong}") from None


def redact(body: bytes, secrets: Iterable[str]) -> tuple[bytes, tuple[str, ...]]:
    """Replace secrets that a server sends back with `***`, and set a flag."""
    redacted = body
    for secret in secrets:
        # On bytes, because a character that decoding replaces inside a secret would hide the secret.
        redacted = redacted.replace(secret.encode(), b"***")
    return redacted, (REDACTED_FLAG,) if redacted != body else ()
