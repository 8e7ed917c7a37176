"""Secrets of the environment kept out of everything an agent's output ends up in."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import replace

from evalkit.records import Json, Output
from evalkit.spans import Span, ToolCall

SECRET_NAME = re.compile(
    r"((^|_)(api_?key|key|token|secret|password|passwd|pass|credentials?|auth|pat)|_pwd)$",
    re.IGNORECASE,
)
PASSWORD_IN_URL = re.compile(r"\w://[^/@:\s]*:([^/@\s]+)@")
SHORTEST_SECRET = 8
"""Characters; replacing a shorter value would blank out ordinary words."""

MARK = "***"
REDACTED = "redacted"

SECRET_KEY = re.compile(
    r"(^|[._-])(api[_-]?keys?|secret([_-]?key)?|password|passwd|authorization|set-cookie|cookie|"
    r"credentials?|private[_-]?key|(access|refresh|id|auth|bearer|session|csrf|api)[_-]?token|token)$",
    re.IGNORECASE,
)
"""Attributes whose text is a secret whatever it is. The end of the name decides, so that counts of
tokens (`llm.token_count.prompt`, `gen_ai.usage.input_tokens`) and `max_tokens` are left alone."""

TEXT_IN_JSON = re.compile(r'"([\w.-]{1,80})"(\s{0,8}:\s{0,8})"(?:[^"\\]|\\.)*"')
"""A key with a text under it, in JSON that an attribute holds as text."""


def blank_by_name(value: Json, name: str = "") -> Json:
    """The value without texts that stand under the name of a secret; numbers there are counts.

    >>> blank_by_name({"http.request.header.authorization": ["Bearer x"], "max_tokens": "9"})
    {'http.request.header.authorization': ['***'], 'max_tokens': '9'}
    """
    if isinstance(value, str):
        if value and name and SECRET_KEY.search(name):
            return MARK
        return TEXT_IN_JSON.sub(_blank_if_secret, value) if '":' in value else value
    if isinstance(value, Mapping):
        return {key: blank_by_name(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [blank_by_name(item, name) for item in value]
    return value


class Redactor:
    """Replaces the values of variables with telling names, and passwords in URLs, by `***`.

    What is encoded in base64 as a whole is found too.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        named = [value for name, value in environ.items() if SECRET_NAME.search(name)]
        in_urls = [word for value in environ.values() for word in PASSWORD_IN_URL.findall(value)]
        secrets = {value for value in (*named, *in_urls) if len(value) >= SHORTEST_SECRET}
        encoded = {base64.b64encode(secret.encode(errors="replace")).decode() for secret in secrets}
        # The longest first, so that a secret that holds another one goes as a whole.
        self._secrets = sorted(secrets | encoded, key=lambda secret: (-len(secret), secret))

    def clean_text(self, text: str) -> str:
        """A text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, MARK)
        return text

    def clean(self, output: Output) -> Output:
        """The output without secrets, flagged when there were any."""
        spans = tuple(map(self._scrub_span, output.spans))
        if not self._secrets:
            return output if spans == output.spans else _flag(replace(output, spans=spans))
        cleaned = replace(
            output,
            spans=spans,
            text=self._scrub(output.text),
            data=self._scrub(output.data),
            metadata=self._scrub(output.metadata),
            replies=tuple(self._scrub(reply) for reply in output.replies),
            tool_calls=tuple(self._scrub_call(call) for call in output.tool_calls),
            error=output.error
            and replace(
                output.error,
                message=self._scrub(output.error.message),
                detail=self._scrub(output.error.detail),
            ),
        )
        return cleaned if cleaned == output else _flag(cleaned)

    def _scrub_span(self, span: Span) -> Span:
        return replace(
            span,
            name=self.clean_text(span.name),
            error=self.clean_text(span.error),
            error_type=self.clean_text(span.error_type),
            tool=self.clean_text(span.tool),
            model=self.clean_text(span.model),
            prompt=self.clean_text(span.prompt),
            user_id=self.clean_text(span.user_id),
            session_id=self.clean_text(span.session_id),
            arguments=self._scrub(blank_by_name(span.arguments)),
            result=self._scrub(blank_by_name(span.result)),
            attributes=self._scrub(blank_by_name(span.attributes)),
        )

    def _scrub_call(self, call: ToolCall) -> ToolCall:
        return replace(
            call,
            name=self._scrub(call.name),
            arguments=self._scrub(call.arguments),
            result=self._scrub(call.result),
            error=self._scrub(call.error),
        )

    def _scrub(self, value: Json) -> Json:
        if isinstance(value, str):
            return self.clean_text(value)
        if isinstance(value, Mapping):
            return {self._scrub(key): self._scrub(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._scrub(item) for item in value]
        return value


def _flag(output: Output) -> Output:
    return output if REDACTED in output.flags else replace(output, flags=(*output.flags, REDACTED))


def _blank_if_secret(match: re.Match[str]) -> str:
    return f'"{match[1]}"{match[2]}"{MARK}"' if SECRET_KEY.search(match[1]) else match[0]
