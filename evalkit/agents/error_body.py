"""Read the body of an error reply: where endpoints put its message, codes, and refused fields."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evalkit.core.literals import Json

_MESSAGE_KEYS = (
    "message",
    "detail",
    "msg",
    "error_description",
    "error_message",
    "errorMessage",
    "description",
    "title",
    "error",
    "errors",
    "Message",
)
"""Where a message is, most common first: `message` (OpenAI, Mistral, Bedrock), `detail` (FastAPI)."""

_CODE_KEYS = ("code", "type", "__type", "status", "error_type", "error_code", "reason")
_STATUS_KEYS = ("code", "status", "status_code", "statusCode", "http_status")
_NO_VALUES = ("", "none", "null", "error", "invalid_request_error")
"""Codes that say nothing. LiteLLM writes Python's `None` as a text."""

_UNNAMED_FIELDS = ("body", "query", "input", "request", "extra_body", "messages", "prompt")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)s")
_FIELD_PARTS = re.compile(r"[.\[\]'\"]+")
_MAX_DEPTH = 6
MAX_WAIT_S = 1e9

CODE_STATUSES: Mapping[str, int] = {
    "authentication_error": 401,
    "expiredtokenexception": 401,
    "invalid_api_key": 401,
    "invalidsignatureexception": 401,
    "unauthenticated": 401,
    "unrecognizedclientexception": 401,
    "billing_error": 402,
    "insufficient_quota": 429,
    "accessdeniedexception": 403,
    "permission_denied": 403,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "rate_limited": 429,
    "resource_exhausted": 429,
    "servicequotaexceededexception": 429,
    "slow_down": 429,
    "throttlingexception": 429,
    "too_many_requests": 429,
    "api_error": 500,
    "internal": 500,
    "internal_server_error": 500,
    "server_error": 500,
    "bad_gateway": 502,
    "provider_unavailable": 502,
    "modelnotreadyexception": 503,
    "server_is_overloaded": 503,
    "service_unavailable": 503,
    "unavailable": 503,
    "deadline_exceeded": 504,
    "timeout": 504,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The HTTP status that a code in an error object means, if the object names no number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorBody:
    """What the body of an error reply says.

    `codes` are all its codes, types, and reasons in lower case. `fields` are the parts of the request
    that it names. `status` is the HTTP status in the body, or 0. `retry_after_s` is the wait that it asks
    for. `is_retryable` is what it says about another attempt, None if nothing. `reasons` are those of a
    moderation. `is_error` is false for a body without an error object.
    """

    message: str = ""
    codes: frozenset[str] = frozenset()
    fields: tuple[str, ...] = ()
    status: int = 0
    retry_after_s: float | None = None
    is_retryable: bool | None = None
    quotas: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    is_error: bool = False


def read_error(body: Json) -> ErrorBody:
    """Return what an error reply says: a JSON value, or the text of a body that is not JSON."""
    body = _unwrap(body)
    if isinstance(body, str):
        return ErrorBody(message=_clean(body))
    if not isinstance(body, Mapping):
        return ErrorBody()
    found = _unwrap(body.get("error"))
    error: Mapping[str, Any] = found if isinstance(found, Mapping) else body
    mappings = (
        (error, *_list_details(error)) if error is body else (error, *_list_details(error), body)
    )
    codes = frozenset(code for part in mappings for code in _list_codes(part))
    return ErrorBody(
        message=_find_message(error, body),
        codes=codes,
        fields=tuple(dict.fromkeys(field for part in mappings for field in _iter_fields(part))),
        status=_find_status(error, codes) or _find_status(body, codes),
        retry_after_s=_find_wait(mappings),
        is_retryable=next(
            (each for part in mappings if isinstance(each := part.get("retryable"), bool)), None
        ),
        quotas=tuple(quota for part in mappings if isinstance(quota := part.get("quotaId"), str)),
        reasons=tuple(
            str(reason)
            for part in mappings
            for key in ("reasons", "patterns")
            if isinstance(part.get(key), list)
            for reason in part[key]
        ),
        is_error=bool(found) or body.get("object") == "error" or body.get("type") == "error",
    )


def _unwrap(value: Json) -> Json:
    """Return the first element of a list; Gemini sends its errors in a list of one."""
    return value[0] if isinstance(value, list) and value else value


def _clean(text: str) -> str:
    return "" if text.lstrip().startswith("<") else text.strip()


def _find_message(*places: Mapping[str, Any]) -> str:
    """Return the first message of the places, with what a gateway quotes from behind it."""
    for place in places:
        for key in _MESSAGE_KEYS:
            if text := _join_texts(place.get(key)):
                metadata = place.get("metadata")
                raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
                quoted = raw if isinstance(raw, str) and raw not in text else ""
                return f"{text} {quoted}".strip()
    return ""


def _join_texts(value: Json, depth: int = 0) -> str:
    """Return a message, which may be a text, an object, or a list of objects with a field's name each."""
    if isinstance(value, str):
        return "" if value.strip().casefold() in _NO_VALUES[:3] else _clean(value)
    if depth > _MAX_DEPTH:
        return ""
    if isinstance(value, list):
        return "; ".join(filter(None, (_join_texts(each, depth + 1) for each in value)))
    if isinstance(value, Mapping):
        where = ".".join(map(str, value["loc"])) if isinstance(value.get("loc"), list) else ""
        texts = (_join_texts(value.get(key), depth + 1) for key in _MESSAGE_KEYS)
        text = next(filter(None, texts), "")
        return f"{where}: {text}" if where and text else text
    return ""


def _list_details(error: Mapping[str, Any], depth: int = 0) -> list[Mapping[str, Any]]:
    """Return the objects inside an error: details, metadata, violations, the cause behind a gateway."""
    if depth > _MAX_DEPTH:
        return []
    inner = [value for key, value in error.items() if key not in ("choices", "messages", "input")]
    objects = [
        each
        for value in inner
        for each in (value if isinstance(value, list) else [value])
        if isinstance(each, Mapping)
    ]
    return [*objects, *(each for found in objects for each in _list_details(found, depth + 1))]


def _list_codes(part: Mapping[str, Any]) -> Iterator[str]:
    for key in _CODE_KEYS:
        value = part.get(key)
        if isinstance(value, str) and value.casefold() not in _NO_VALUES:
            # Bedrock writes a namespace before the name: `com.amazon.coral#ThrottlingException`.
            yield value.rpartition("#")[2].casefold()


def _iter_fields(part: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names in `param` (OpenAI), `loc` (FastAPI, Mistral), and `field` (Gemini)."""
    for key in ("param", "field", "loc"):
        value = part.get(key)
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and text.casefold() not in _NO_VALUES:
                yield from (
                    name
                    for name in _FIELD_PARTS.split(text)
                    if name and not name.isdigit() and name not in _UNNAMED_FIELDS
                )


def _find_status(part: Mapping[str, Any], codes: Iterable[str]) -> int:
    for key in _STATUS_KEYS:
        value = part.get(key)
        if isinstance(value, str) and value.isdecimal() and len(value) == 3:
            value = int(value)
        if type(value) is int and 400 <= value < 600:
            return value
    return next((CODE_STATUSES[code] for code in sorted(codes) if code in CODE_STATUSES), 0)


def _find_wait(parts: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the seconds of `retryDelay: "58s"` (Gemini) or `retry_after`."""
    for part in parts:
        delay = part.get("retryDelay")
        if isinstance(delay, str) and (match := _DURATION.fullmatch(delay.strip())):
            return float(match[1])
        wait = part.get("retry_after")
        if isinstance(wait, int | float) and 0 <= wait < MAX_WAIT_S:
            return float(wait)
    return None
