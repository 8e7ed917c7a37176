"""The agent kind `openai`: a chat model with a system prompt, called through the openai client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evalkit.agents.chat_kind import ChatKind
from evalkit.agents.endpoint import Endpoint
from evalkit.agents.http_headers import expand_headers, find_header_secrets
from evalkit.agents.openai_client import ChatClient, connect
from evalkit.core.literals import Json

RESERVED_KEYS = ("model", "messages", "temperature", "max_tokens", "stream", "n")
"""Keys that `extra` may not have: another argument sets them, or the reply could not be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenaiArguments:
    """The arguments under `openai:`; a model's name in their place is `model`.

    `api_key_env` is the name of an environment variable, and `${NAME}` in `headers` is one. `extra` is
    added to the body of each request: `extra: {max_completion_tokens: 500, tools: [...]}`. With `stream`
    the answer is streamed, so that the time to its first token is known.
    """

    model: str
    system: str | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    temperature: float | None = None
    max_tokens: int | None = None
    stream: bool = False
    extra: Mapping[str, Json] = field(default_factory=dict)

    def resolve_endpoint(self, environ: Mapping[str, str]) -> Endpoint:
        """Return the address of the model and the key for it."""
        return Endpoint.resolve(self.base_url, self.api_key_env, environ)

    @property
    def request_body(self) -> dict[str, Json]:
        """The body of a request without model and messages."""
        given = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        stream = {"stream": True, "stream_options": {"include_usage": True}} if self.stream else {}
        known = {key: value for key, value in given.items() if value is not None}
        return {**known, **stream, **self.extra}

    def connect(self, environ: Mapping[str, str]) -> ChatClient:
        """Load the client, which takes a second; raise RuntimeError if it cannot be loaded."""
        return connect(
            self.resolve_endpoint(environ),
            self.model,
            headers=expand_headers(self.headers, environ),
            secrets=find_header_secrets(self.headers, environ),
        )


_KIND = ChatKind(shape=OpenaiArguments, reserved=RESERVED_KEYS)

check = _KIND.check
entrypoint = _KIND.entrypoint
identify_endpoint = _KIND.identify_endpoint
open = _KIND.open  # noqa: A001 - a function of AgentKind
