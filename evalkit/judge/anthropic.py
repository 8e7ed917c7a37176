"""The judge kind `anthropic`: a model of Anthropic, through the Messages API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from evalkit.agents.anthropic_client import (
    ANTHROPIC_DEFAULTS,
    MAX_TOKENS,
    connect_anthropic,
)
from evalkit.agents.arguments import convert_arguments
from evalkit.agents.endpoint import Endpoint
from evalkit.agents.http_headers import expand_headers, find_header_secrets
from evalkit.agents.openai_client import ChatClient
from evalkit.core.judgement import JudgeSpec
from evalkit.core.literals import Json
from evalkit.core.run import RunEnvironment
from evalkit.judge.openai import ChatJudge, find_chat_judge_problems, open_chat_judge

RESERVED_REQUEST_KEYS = (
    "model",
    "messages",
    "system",
    "temperature",
    "max_tokens",
    "seed",
    "stream",
    "response_format",
    "tools",
    "tool_choice",
)
"""Keys that `extra` may not have: another argument sets them, or the judge's replies depend on them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnthropicJudgeArguments:
    """The arguments under `anthropic:` of a judge; a model's name in their place is `model`.

    `api_key_env` is the name of an environment variable, and `${NAME}` in `headers` is one.
    `temperature` is left out of requests if it is null, and once the model refuses it. `extra` is added to
    the body of each request, in the form of the Messages API.
    """

    model: str
    base_url: str | None = None
    api_key_env: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    temperature: float | None = 0
    max_tokens: int = MAX_TOKENS
    extra: Mapping[str, Json] = field(default_factory=dict)

    def resolve_endpoint(self, environ: Mapping[str, str]) -> Endpoint:
        """Return the address of the model and the key for it."""
        return Endpoint.resolve(self.base_url, self.api_key_env, environ, ANTHROPIC_DEFAULTS)

    @property
    def parameters(self) -> dict[str, Json]:
        """The parameters of a request that are left out once the model refuses them."""
        return {"temperature": self.temperature, "max_tokens": self.max_tokens}

    def connect(self, environ: Mapping[str, str]) -> ChatClient:
        """Load the client, which takes a second; raise RuntimeError if it cannot be loaded."""
        return connect_anthropic(
            self.resolve_endpoint(environ),
            self.model,
            headers=expand_headers(self.headers, environ),
            secrets=find_header_secrets(self.headers, environ),
        )


def check(spec: JudgeSpec, environment: RunEnvironment) -> list[str]:
    """Return wrong arguments, a missing key, and a limit on the cost of a model without a price."""
    arguments, wrong = convert_arguments(spec.args, AnthropicJudgeArguments, shorthand="model")
    if arguments is None:
        return wrong
    return find_chat_judge_problems(arguments, spec, environment.environ, RESERVED_REQUEST_KEYS)


@asynccontextmanager
async def open(  # noqa: A001 - a function of JudgeKind
    spec: JudgeSpec, environment: RunEnvironment
) -> AsyncIterator[ChatJudge]:
    """Yield the judge, which loads the client when it is started or first used."""
    arguments, wrong = convert_arguments(spec.args, AnthropicJudgeArguments, shorthand="model")
    if arguments is None:
        raise ValueError(wrong[0])  # `check` comes first
    async with open_chat_judge(arguments, spec, environment) as judge:
        yield judge
