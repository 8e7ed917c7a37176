"""The agent kind `anthropic`: a model of Anthropic with a system prompt, through the Messages API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from evalkit.agents.anthropic_client import (
    MAX_TOKENS,
    connect_anthropic,
    resolve_anthropic_endpoint,
)
from evalkit.agents.arguments import raise_problems, read_arguments, to_problem
from evalkit.agents.endpoint import Endpoint
from evalkit.agents.http_headers import (
    expand_headers,
    find_header_problems,
    find_header_secrets,
    find_unset_variables,
)
from evalkit.agents.network_errors import get_host
from evalkit.agents.openai import OpenaiAgent
from evalkit.agents.openai_client import MISSING_TRANSPORT_MESSAGE, find_body_problems
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec, Case
from evalkit.core.literals import Json
from evalkit.core.location import Problem
from evalkit.core.run import RunEnvironment

RESERVED_KEYS = ("model", "messages", "system", "temperature", "max_tokens", "stream")
"""Keys that `extra` may not have: another argument sets them, or the reply could not be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnthropicArguments:
    """The arguments under `anthropic:`; a model's name in their place is `model`.

    `api_key_env` is the name of an environment variable, and `${NAME}` in `headers` is one. `extra` is added to the body of each request, in
    the form of the Messages API: `extra: {thinking: {type: adaptive}, tools: [...]}`.
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
        return resolve_anthropic_endpoint(self.base_url, self.api_key_env, environ)

    @property
    def request_body(self) -> dict[str, Json]:
        """The body of a request without model and messages."""
        given = {} if self.temperature is None else {"temperature": self.temperature}
        return {**given, "max_tokens": self.max_tokens, **self.extra}


def check(
    spec: AgentSpec,
    cases: Sequence[Case],  # noqa: ARG001 - a model accepts every case
    environment: RunEnvironment,
) -> Iterator[Problem]:
    """Yield wrong arguments and a missing key."""
    arguments, environ = _read(spec), environment.environ
    for message in (
        *find_body_problems(arguments.model, arguments.extra, RESERVED_KEYS),
        *arguments.resolve_endpoint(environ).find_problems(),
        *find_unset_variables(arguments.headers.values(), environ),
        *find_header_problems(arguments.headers, environ),
    ):
        yield to_problem(spec, message)


def _read(spec: AgentSpec) -> AnthropicArguments:
    return read_arguments(spec, AnthropicArguments, shorthand="model")


def entrypoint(spec: AgentSpec) -> str:
    """Return the model, and its host unless it is the default one."""
    arguments = _read(spec)
    host = get_host(arguments.base_url or "")
    return f"{arguments.model} at {host}" if host else arguments.model


def identify_endpoint(spec: AgentSpec, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the base URL and the key."""
    endpoint = _read(spec).resolve_endpoint(environ)
    return endpoint.url, endpoint.key


@asynccontextmanager
async def open(  # noqa: A001 - a function of AgentKind
    spec: AgentSpec, environment: RunEnvironment
) -> AsyncIterator[OpenaiAgent]:
    """Yield the agent with one client for the whole run.

    Raises:
        InvalidInput: `check` finds a problem, or the client lacks its aiohttp transport.
    """
    raise_problems(check(spec, (), environment))
    arguments, environ = _read(spec), environment.environ
    try:
        client = connect_anthropic(
            arguments.resolve_endpoint(environ),
            arguments.model,
            headers=expand_headers(arguments.headers, environ),
            secrets=find_header_secrets(arguments.headers, environ),
        )
    except RuntimeError as missing:
        raise InvalidInput([to_problem(spec, MISSING_TRANSPORT_MESSAGE)]) from missing
    try:
        yield OpenaiAgent(arguments, client)
    finally:
        await client.close()
