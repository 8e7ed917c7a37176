"""The judge kind `openai`: a chat model at any OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from evalkit.agents.arguments import convert_arguments
from evalkit.agents.http_headers import (
    expand_variables,
    find_header_problems,
    find_header_secrets,
    find_unset_variables,
)
from evalkit.agents.lane import Lane
from evalkit.agents.openai_client import (
    MISSING_TRANSPORT_MESSAGE,
    ChatClient,
    Endpoint,
    connect,
    find_body_problems,
)
from evalkit.agents.pacer import find_pacer
from evalkit.core.judgement import JudgeSpec, JudgeVote
from evalkit.core.literals import Json
from evalkit.core.location import Location, Problem
from evalkit.core.run import RunEnvironment
from evalkit.core.serialization import digest
from evalkit.judge import prompt
from evalkit.judge.budgets import CircuitBreaker
from evalkit.judge.chat_vote import ask_judge
from evalkit.judge.judge import JudgeRequest
from evalkit.judge.openai_chat import OpenaiChat
from evalkit.judge.prices import PriceList, load_prices
from evalkit.judge.request_format import RequestFormat

RESERVED_JUDGE_KEYS = (
    "model",
    "messages",
    "temperature",
    "seed",
    "max_tokens",
    "stream",
    "n",
    "response_format",
    "tools",
    "tool_choice",
)
"""Keys that `extra` may not have: another argument sets them, or the judge's replies depend on them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenaiJudgeArguments:
    """The arguments under `openai:` of a judge; a model's name in their place is `model`.

    `api_key_env` is the name of an environment variable, and `${NAME}` in `headers` is one.
    `temperature`, `seed` and `max_tokens` are left out of requests if they are null, and once the
    endpoint refuses them. `extra` is added to the body of each request.
    """

    model: str
    base_url: str | None = None
    api_key_env: str | None = None
    organization: str | None = None
    project: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    temperature: float | None = 0
    seed: int | None = 0
    max_tokens: int | None = None
    extra: Mapping[str, Json] = field(default_factory=dict)

    def resolve_endpoint(self, environ: Mapping[str, str]) -> Endpoint:
        """Return the address of the model and the key for it."""
        return Endpoint.resolve(self.base_url, self.api_key_env, environ)

    def build_price_list(self, spec: JudgeSpec, environ: Mapping[str, str]) -> PriceList:
        """Return the prices of its calls."""
        endpoint = self.resolve_endpoint(environ)
        return PriceList(
            model=self.model, url=endpoint.url, is_local=endpoint.is_local, set_prices=spec.prices
        )


def check(spec: JudgeSpec, environment: RunEnvironment) -> list[str]:
    """Return wrong arguments, a missing key, and a limit on the cost of a model without a price."""
    arguments, wrong = convert_arguments(spec.args, OpenaiJudgeArguments, shorthand="model")
    if arguments is None:
        return wrong
    environ = environment.environ
    return [
        *find_body_problems(arguments.model, arguments.extra, RESERVED_JUDGE_KEYS),
        *arguments.resolve_endpoint(environ).find_problems(),
        *find_unset_variables(arguments.headers.values(), environ),
        *find_header_problems(arguments.headers, environ),
        *_find_price_problems(arguments, spec, environ),
    ]


def _find_price_problems(
    arguments: OpenaiJudgeArguments, spec: JudgeSpec, environ: Mapping[str, str]
) -> Iterator[str]:
    # The prices are only looked up if they are needed: loading them is slow.
    if spec.max_cost_usd is not None and not arguments.build_price_list(spec, environ).is_known:
        yield (
            f"max_cost_usd is set, but there is no price for {arguments.model!r} at "
            f"{arguments.resolve_endpoint(environ).server}. Add prices: {{input: ..., output: ...}} "
            "in USD per million tokens, or remove max_cost_usd."
        )


@asynccontextmanager
async def open(  # noqa: A001 - a function of JudgeKind
    spec: JudgeSpec, environment: RunEnvironment
) -> AsyncIterator[OpenaiJudge]:
    """Yield the judge, which loads the client when it is started or first used."""
    arguments, wrong = convert_arguments(spec.args, OpenaiJudgeArguments, shorthand="model")
    if arguments is None:
        raise ValueError(wrong[0])  # `check` comes first
    judge = OpenaiJudge(arguments, spec, environment)
    try:
        yield judge
    finally:
        await judge.close()


class OpenaiJudge:
    """A judge that asks a chat model for its votes, with one client for the whole run."""

    is_local = False

    def __init__(
        self, arguments: OpenaiJudgeArguments, spec: JudgeSpec, environment: RunEnvironment
    ) -> None:
        self._arguments = arguments
        self._spec = spec
        self._environ = environment.environ
        self._endpoint = arguments.resolve_endpoint(environment.environ)
        self._pacer = find_pacer(environment.pacers, self._endpoint.url, self._endpoint.key)
        self._circuit_breaker = CircuitBreaker()
        self._client: ChatClient | None = None
        self._starting: asyncio.Task[OpenaiChat | None] | None = None
        self.name = f"{arguments.model} at {self._endpoint.server}"
        self.votes = spec.votes
        # Everything that can change a verdict; the key and the limits of the run cannot.
        identity = ("model", "temperature", "seed", "max_tokens", "extra", "headers")
        values = [getattr(arguments, name) for name in identity]
        self.digest = digest(
            ["openai", prompt.PROMPT_VERSION, self._endpoint.url, *values, spec.votes]
        )

    @property
    def down_reason(self) -> str:
        """Why the judge will give no more votes in this run; empty while it may."""
        return self._circuit_breaker.trip_reason

    @property
    def problem_to_fix(self) -> Problem | None:
        """The problem that the user must fix before the judge can vote, if there is one."""
        return self._circuit_breaker.problem_to_fix

    async def start(self) -> None:
        """Load the client in a thread, so that agent calls continue."""
        await self._wait_until_started()

    async def grade(self, request: JudgeRequest) -> JudgeVote:
        """Judge an answer once."""
        chat = await self._wait_until_started()
        if chat is None:
            vote = JudgeVote(state="judge_error", kind="judge_down", problem=self.down_reason)
        else:
            vote = await ask_judge(chat, request, secrets.token_hex(8))
        return replace(vote, judge=self.name, digest=self.digest)

    async def close(self) -> None:
        """Close the client."""
        if self._client is not None:
            await self._client.close()

    async def _wait_until_started(self) -> OpenaiChat | None:
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._connect())
        # Shielded, because other calls wait for the same start.
        return await asyncio.shield(self._starting)

    async def _connect(self) -> OpenaiChat | None:
        """Load the client; return None and trip the circuit breaker if it cannot be loaded."""
        try:
            self._client = await asyncio.to_thread(self._load_client)
        except RuntimeError:
            where = Location(path=self._spec.path, line=self._spec.line)
            problem = Problem(message=f"judge openai: {MISSING_TRANSPORT_MESSAGE}", where=where)
            self._circuit_breaker.trip(MISSING_TRANSPORT_MESSAGE, problem)
            return None
        arguments = self._arguments
        parameters = {
            "temperature": arguments.temperature,
            "seed": arguments.seed,
            "max_tokens": arguments.max_tokens,
        }
        return OpenaiChat(
            self._spec,
            self._client,
            RequestFormat(parameters, arguments.extra),
            breaker=self._circuit_breaker,
            prices=arguments.build_price_list(self._spec, self._environ),
            lane=Lane(
                self._pacer,
                deadline_s=self._spec.deadline_s,
                concurrency=self._spec.concurrency,
                rate=self._spec.rate,
                tokens_per_min=self._spec.tokens_per_min,
            ),
        )

    def _load_client(self) -> ChatClient:
        arguments, environ = self._arguments, self._environ
        headers = {
            name: expand_variables(value, environ) for name, value in arguments.headers.items()
        }
        client = connect(
            self._endpoint,
            arguments.model,
            headers=headers,
            secrets=find_header_secrets(arguments.headers, environ),
            organization=arguments.organization,
            project=arguments.project,
        )
        # Load the prices in this thread, so that the first reply does not wait for them.
        if not self._spec.prices and not self._endpoint.is_local:
            load_prices()
        return client
