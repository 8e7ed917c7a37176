"""Bytes an agent sent, turned into text or JSON, with a flag for what had to be done to them."""

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
    """A reply went over MAX_REPLY_BYTES."""


class NotJson(Exception):
    """A reply that should be JSON is not; the message says what it is instead."""


async def read_capped(chunks: AsyncIterator[bytes]) -> bytes:
    """Collect a body.

    Raises:
        TooLarge: it goes over MAX_REPLY_BYTES; no more is read.
    """
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > MAX_REPLY_BYTES:
            raise ReplyTooLarge
    return bytes(body)


def decode_text(body: bytes, charset: str = "utf-8") -> tuple[str, tuple[str, ...]]:
    """Decode bytes; those that mean nothing become U+FFFD, which a flag tells."""
    try:
        return body.decode(charset), ()
    except LookupError:  # a charset that Python does not know
        return decode_text(body)
    except UnicodeDecodeError:
        return body.decode(charset, errors="replace"), (REPLACED_FLAG,)


def read_json(text: str) -> Json:
    """Read one JSON value that is the whole text.

    Raises:
        NotJson: it is something else; `NaN` and the like are found when the reply is looked into.
    """
    if not text.strip():
        raise NotJson("nothing where JSON should be")
    if _MARKUP.match(text):
        raise NotJson("HTML or XML where JSON should be")
    try:
        return json.loads(text)
    except RecursionError:
        raise NotJson("JSON that is nested too deeply to be read") from None
    except ValueError as broken:
        raise NotJson(f"no JSON: {broken}") from None


def redact(body: bytes, secrets: Iterable[str]) -> tuple[bytes, tuple[str, ...]]:
    """Blank out secrets that an agent sends back, which a flag tells."""
    redacted = body
    for secret in secrets:
        redacted = redacted.replace(secret.encode(), b"***")
    return redacted, (REDACTED_FLAG,) if redacted != body else ()
