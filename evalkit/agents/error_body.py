"""Read the body of an error reply: where endpoints put its message, code and parameter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from evalkit.core.literals import Json

_CONTEXT_LENGTH_PATTERN = re.compile(
    r"context_length_exceeded|context length|context window|prompt is too long|too many (input )?tokens",
    re.IGNORECASE,
)


def find_error(body: Json) -> Mapping[str, Any]:
    """Return the object under `error`; empty if there is none."""
    error = body.get("error") if isinstance(body, Mapping) else None
    return error if isinstance(error, Mapping) else {}


def find_error_message(body: Json) -> str:
    """Return the message of an error, from any of the usual places; empty if there is none."""
    # `error.message` is OpenAI's form, `message` Mistral's, `error` a text Ollama's, `detail` FastAPI's.
    message = find_error(body).get("message")
    if message is None and isinstance(body, Mapping):
        message = body.get("message") or body.get("error") or body.get("detail")
    if message is None:
        message = body
    return message if isinstance(message, str) else ""


def find_refused_fields(body: Json) -> list[Any]:
    """Return the parts of the request that an error refers to, such as parameter names."""
    return [field for field in (find_error(body).get("param"), *_iter_locations(body)) if field]


def _iter_locations(body: Json) -> Iterator[Any]:
    """Yield the parts of `detail[].loc`, the form of FastAPI and similar servers."""
    details = body.get("detail") if isinstance(body, Mapping) else None
    for detail in details if isinstance(details, list) else ():
        where = detail.get("loc") if isinstance(detail, Mapping) else None
        yield from where if isinstance(where, list) else ()


def find_error_status(body: Json) -> int:
    """Return the HTTP status that an error object has as its code, or 0."""
    code = find_error(body).get("code")
    return code if isinstance(code, int) and 400 <= code < 600 else 0


def is_context_length_error(text: str) -> bool:
    """Return whether an endpoint reports that the input is too long for its model."""
    return bool(_CONTEXT_LENGTH_PATTERN.search(text))
