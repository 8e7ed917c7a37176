"""The agent kind `anthropic`: a model of Anthropic with a system prompt, through the Messages API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from evalkit.agents.anthropic_client import (
    ANTHROPIC_DEFAULTS,
    MAX_TOKENS,
    connect_anthropic,
)
from evalkit.agents.arguments import read_arguments
from evalkit.agents.chat_agent import (
    ChatAgent,
    describe_chat_agent,
    find_chat_agent_problems,
    open_chat_agent,
)
from evalkit.agents.endpoint import Endpoint
from evalkit.agents.http_headers import expand_headers, find_header_secrets
from evalkit.agents.openai_client import ChatClient
from evalkit.core.eval_set import AgentSpec, Case
from evalkit.core.literals import Json
from evalkit.core.location import Problem
from evalkit.core.run import RunEnvironment

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


def check(
    spec: AgentSpec,
    cases: Sequence[Case],  # noqa: ARG001 - a model accepts every case
    environment: RunEnvironment,
) -> Iterator[Problem]:
    """Yield wrong arguments and a missing key."""
    yield from find_chat_agent_problems(_read(spec), spec, environment.environ, RESERVED_KEYS)


def _read(spec: AgentSpec) -> AnthropicArguments:
    return read_arguments(spec, AnthropicArguments, shorthand="model")


def entrypoint(spec: AgentSpec) -> str:
    """Return the model, and its host unless it is the default one."""
    return describe_chat_agent(_read(spec))


def identify_endpoint(spec: AgentSpec, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the base URL and the key."""
    endpoint = _read(spec).resolve_endpoint(environ)
    return endpoint.url, endpoint.key


def open(  # noqa: A001 - a function of AgentKind
    spec: AgentSpec, environment: RunEnvironment
) -> AbstractAsyncContextManager[ChatAgent]:
    """Return a context with the agent and its client; see `open_chat_agent`."""
    problems = check(spec, (), environment)
    return open_chat_agent(_read(spec), spec, environment, problems)
