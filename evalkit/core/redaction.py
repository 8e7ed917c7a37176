"""Redaction of secrets in the output of an agent, before it is stored or shown."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import replace

from evalkit.core.literals import Json
from evalkit.core.spans import Span, ToolCall
from evalkit.core.trial import Output

SECRET_NAME = re.compile(
    r"((^|_)(api_?key|key|token|secret|password|passwd|pass|credentials?|auth|pat)|_pwd)$",
    re.IGNORECASE,
)
PASSWORD_IN_URL = re.compile(r"\w://[^/@:\s]*:([^/@\s]+)@")
MIN_SECRET_CHARS = 8
"""Length of the shortest secret. Replacing a shorter value would redact ordinary words."""

REPLACEMENT = "***"
REDACTED = "redacted"
"""The flag of an output in which something was redacted."""

_SPAN_TEXTS = (
    *("name", "error", "error_type", "tool"),
    *("model", "prompt", "user_id", "session_id"),
)

SECRET_KEY = re.compile(
    r"(^|[._-])(api[_-]?keys?|secret([_-]?key)?|password|passwd|authorization|set-cookie|cookie|"
    r"credentials?|private[_-]?key|(access|refresh|id|auth|bearer|session|csrf|api)[_-]?token|token)$",
    re.IGNORECASE,
)
"""Names of attributes with secret text. Only the end of a name counts, so that token counts
(`llm.token_count.prompt`, `gen_ai.usage.input_tokens`) and `max_tokens` remain."""

TEXT_IN_JSON = re.compile(r'"([\w.-]{1,80})"(\s{0,8}:\s{0,8})"(?:[^"\\]|\\.)*"')
"""A key with its text value, inside an attribute that is itself JSON text."""


def redact_by_key(value: Json, name: str = "") -> Json:
    """Return a value with all text under names of secrets redacted. Numbers, such as token counts, are kept.

    >>> redact_by_key({"http.request.header.authorization": ["Bearer x"], "max_tokens": "9"})
    {'http.request.header.authorization': ['***'], 'max_tokens': '9'}
    """
    if isinstance(value, str):
        if value and name and SECRET_KEY.search(name):
            return REPLACEMENT
        # Instrumentations often store JSON as text; the test for `":` skips the search in other texts.
        return TEXT_IN_JSON.sub(_redact_if_secret, value) if '":' in value else value
    if isinstance(value, Mapping):
        return {key: redact_by_key(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_by_key(item, name) for item in value]
    return value


class Redactor:
    """Replaces the values of variables with secret names, and passwords in URLs, by `***`.

    The base64 encoding of a whole secret is replaced as well.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        named = [value for name, value in environ.items() if SECRET_NAME.search(name)]
        in_urls = [word for value in environ.values() for word in PASSWORD_IN_URL.findall(value)]
        secrets = {value for value in (*named, *in_urls) if len(value) >= MIN_SECRET_CHARS}
        encoded = {base64.b64encode(secret.encode(errors="replace")).decode() for secret in secrets}
        # Longest first, so that a secret that contains another one is replaced as a whole.
        self._secrets = sorted(secrets | encoded, key=lambda secret: (-len(secret), secret))

    def redact_text(self, text: str) -> str:
        """Return a text with its secrets redacted."""
        for secret in self._secrets:
            text = text.replace(secret, REPLACEMENT)
        return text

    def redact_output(self, output: Output) -> Output:
        """Return the output with its secrets redacted, and flagged if there were any."""
        spans = tuple(map(self._redact_span, output.spans))
        if not self._secrets:
            return output if spans == output.spans else _flag_redacted(replace(output, spans=spans))
        cleaned = replace(
            output,
            spans=spans,
            text=self._redact(output.text),
            data=self._redact(output.data),
            metadata=self._redact(output.metadata),
            replies=tuple(map(self.redact_text, output.replies)),
            tool_calls=tuple(map(self._redact_call, output.tool_calls)),
            error=output.error
            and replace(
                output.error,
                message=self._redact(output.error.message),
                detail=self._redact(output.error.detail),
            ),
        )
        return cleaned if cleaned == output else _flag_redacted(cleaned)

    def _redact_span(self, span: Span) -> Span:
        texts: dict[str, Json] = {
            name: self.redact_text(getattr(span, name)) for name in _SPAN_TEXTS
        }
        return replace(
            span,
            **texts,
            arguments=self._redact(redact_by_key(span.arguments)),
            result=self._redact(redact_by_key(span.result)),
            attributes=self._redact(redact_by_key(span.attributes)),
        )

    def _redact_call(self, call: ToolCall) -> ToolCall:
        fields = ("name", "arguments", "result", "error")
        return replace(call, **{name: self._redact(getattr(call, name)) for name in fields})

    def _redact(self, value: Json) -> Json:
        if isinstance(value, str):
            return self.redact_text(value)
        if isinstance(value, Mapping):
            return {self._redact(key): self._redact(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._redact(item) for item in value]
        return value


def _flag_redacted(output: Output) -> Output:
    return output if REDACTED in output.flags else replace(output, flags=(*output.flags, REDACTED))


def _redact_if_secret(match: re.Match[str]) -> str:
    return f'"{match[1]}"{match[2]}"{REPLACEMENT}"' if SECRET_KEY.search(match[1]) else match[0]
