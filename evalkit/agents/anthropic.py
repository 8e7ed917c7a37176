"""The agent kind `anthropic`: a model of Anthropic with a system prompt, through the Messages API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evalkit.agents.anthropic_client import (
    ANTHROPIC_DEFAULTS,
    MAX_TOKENS,
    connect_anthropic,
)
from evalkit.agents.chat_kind import ChatKind
from evalkit.agents.endpoint import Endpoint
from evalkit.agents.http_headers import expand_headers, find_header_secrets
from evalkit.agents.openai_client import ChatClient
from evalkit.core.literals import Json

RESERVED_KEYS = ("model", "messages", "system", "temperature", "max_tokens", "stream")
"""Keys that `extra` may not have: another argument sets them, or the reply could not be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnthropicArguments:
    """The arguments under `anthropic:`; a model's name in their place is `model`.

    `api_key_env` is the name of an environment variable, and `${NAME}` in `headers` is one. `extra` is
    added to the body of each request, in the form of the Messages API:
    `extra: {thinking: {type: adaptive}, tools: [...]}`.
    """

    model: str
    system: str | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    temperature: float | None = None
    max_tokens: int = MAX_TOKENS
    extra: Mapping[str, Json] = field(default_factory=dict)

    def resolve_endpoint(self, environ: Mapping[str, str]) -> Endpoint:
        """Return the address of the model and the key for it."""
        return Endpoint.resolve(self.base_url, self.api_key_env, environ, ANTHROPIC_DEFAULTS)

    @property
    def request_body(self) -> dict[str, Json]:
        """The body of a request without model and messages."""
        given = {} if self.temperature is None else {"temperature": self.temperature}
        return {**given, "max_tokens": self.max_tokens, **self.extra}

    def connect(self, environ: Mapping[str, str]) -> ChatClient:
        """Load the client, which takes a second; raise RuntimeError if it cannot be loaded."""
        return connect_anthropic(
            self.resolve_endpoint(environ),
            self.model,
            headers=expand_headers(self.headers, environ),
            secrets=find_header_secrets(self.headers, environ),
        )


_KIND = ChatKind(shape=AnthropicArguments, reserved=RESERVED_KEYS)

check = _KIND.check
entrypoint = _KIND.entrypoint
identify_endpoint = _KIND.identify_endpoint
open = _KIND.open  # noqa: A001 - a function of AgentKind
