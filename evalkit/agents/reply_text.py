"""Decode the bytes of a reply as text or JSON, and report in flags what was changed."""

from __future__ import annotations

import codecs
import html
import json
import re
from collections.abc import AsyncIterator, Iterable

from evalkit.core.limits import MAX_REPLY_BYTES
from evalkit.core.literals import Json
from evalkit.core.secret_values import is_redactable

REPLACED_FLAG = "decoded_with_replacement"
REDACTED_FLAG = "redacted"

_MARKUP = re.compile(r"\s*<(!doctype|!--|html|\?xml|[a-z][\w.:-]*[\s>])", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_MARK = "\ufeff"
_MARKED_CHARSETS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


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
    """Return the text and flags of bytes; replace invalid bytes with U+FFFD and set a flag.

    A byte order mark names the charset, whatever the caller says, and is not part of the text.
    """
    marked = next((name for mark, name in _MARKED_CHARSETS if body.startswith(mark)), None)
    try:
        return body.decode(marked or charset).removeprefix(_MARK), ()
    except LookupError:  # a charset that Python does not know
        return decode_text(body)
    except UnicodeError:
        return _replace_invalid(body, marked or charset).removeprefix(_MARK), (REPLACED_FLAG,)


def _replace_invalid(body: bytes, charset: str) -> str:
    try:
        return body.decode(charset, errors="replace")
    except UnicodeError:  # a charset for something else than texts, such as `idna`
        return body.decode(errors="replace")


def decode_json(body: bytes, charset: str = "") -> tuple[str, tuple[str, ...]]:
    """Return the text and flags of bytes that should be JSON; without a charset, find it from the bytes."""
    return decode_text(body, charset or json.detect_encoding(body))


def is_markup(text: str) -> bool:
    """Return whether a text is HTML or XML."""
    return bool(_MARKUP.match(text))


def find_title(text: str) -> str:
    """Return the title of an HTML page; empty if it has none."""
    found = _TITLE.search(text)
    return " ".join(html.unescape(found[1]).split()) if found else ""


def read_json(text: str) -> Json:
    """Return the JSON value that is the whole text.

    Constants such as `NaN` are accepted here; `to_output` rejects them.

    Raises:
        NotJson: the text is something else.
    """
    text = text.removeprefix(_MARK)
    if not text.strip():
        raise NotJson("nothing where JSON should be")
    if is_markup(text):
        raise NotJson("HTML or XML where JSON should be")
    try:
        return json.loads(text)
    except RecursionError:
        raise NotJson("JSON that is nested too deeply to be read") from None
    except ValueError as wrong:
        raise NotJson(f"invalid JSON: {wrong}") from None


def redact(body: bytes, secrets: Iterable[str]) -> tuple[bytes, tuple[str, ...]]:
    """Replace secrets that a server sends back with `***`, and set a flag.

    A short one, such as the key `x` of a server that needs none, is in many words, and stays; so does a
    plain word.
    """
    redacted = body
    for secret in secrets:
        if not is_redactable(secret):
            continue
        # On bytes, because a character that decoding replaces inside a secret would hide the secret.
        redacted = redacted.replace(secret.encode(), b"***")
    return redacted, (REDACTED_FLAG,) if redacted != body else ()


def redact_json(value: Json, secrets: Iterable[str]) -> tuple[Json, tuple[str, ...]]:
    """Replace secrets in JSON that was joined from pieces, whose ends may have cut a secret."""
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    clean, flags = redact(text, secrets)
    return (json.loads(clean.decode("utf-8", "surrogatepass")), flags) if flags else (value, ())
