"""Secrets of the environment kept out of everything an agent's output ends up in."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import replace

from evalkit.records import Json, Output, ToolCall

SECRET_NAME = re.compile(
    r"((^|_)(api_?key|key|token|secret|password|passwd|pass|credentials?|auth|pat)|_pwd)$",
    re.IGNORECASE,
)
PASSWORD_IN_URL = re.compile(r"\w://[^/@:\s]*:([^/@\s]+)@")
SHORTEST_SECRET = 8
"""Characters; replacing a shorter value would blank out ordinary words."""

MARK = "***"
REDACTED = "redacted"


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
        if not self._secrets:
            return output
        cleaned = replace(
            output,
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
        if cleaned == output or REDACTED in output.flags:
            return cleaned
        return replace(cleaned, flags=(*output.flags, REDACTED))

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
