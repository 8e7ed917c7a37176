"""The judge kind `openai`: a chat model at any OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from evalkit.agents.arguments import convert_arguments
from evalkit.agents.endpoint import Endpoint
from evalkit.agents.http_headers import (
    expand_headers,
    find_header_problems,
    find_header_secrets,
    find_unset_variables,
)
from evalkit.agents.lane import Lane
from evalkit.agents.openai_client import (
    MISSING_TRANSPORT_MESSAGE,
    ChatClient,
    connect,
    find_body_problems,
)
from evalkit.agents.pacer import find_pacer
from evalkit.core.judgement import JudgeSpec, JudgeVote
from evalkit.core.literals import Json
from evalkit.core.location import Location, Problem
from evalkit.core.prices import load_known_prices
from evalkit.core.run import RunEnvironment
from evalkit.judge import prompt
from evalkit.judge.budgeted_judge import STOPPED
from evalkit.judge.budgets import MAX_CONSECUTIVE_FAILURES, CircuitBreaker
from evalkit.judge.chat_vote import MAX_REPLIES, ask_judge
from evalkit.judge.judge import JudgeRequest
from evalkit.judge.judge_digest import digest_judge
from evalkit.judge.openai_chat import OpenaiChat
from evalkit.judge.prices import PriceList
from evalkit.judge.request_format import (
    JSON_MODES,
    MAX_GUESSES,
    OPTIONAL_PARAMETERS,
    RequestFormat,
)

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

    @property
    def parameters(self) -> dict[str, Json]:
        """The parameters of a request that are left out once the endpoint refuses them."""
        return {
            "temperature": self.temperature,
            "seed": self.seed,
            "max_tokens": self.max_tokens,
        }

    def connect(self, environ: Mapping[str, str]) -> ChatClient:
        """Load the client, which takes a second; raise RuntimeError if it cannot be loaded."""
        return connect(
            self.resolve_endpoint(environ),
            self.model,
            headers=expand_headers(self.headers, environ),
            secrets=find_header_secrets(self.headers, environ),
            organization=self.organization,
            project=self.project,
        )


class ChatJudgeArguments(Protocol):
    """The arguments of a judge that is a chat model."""

    @property
    def model(self) -> str:
        """The name of the model."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of each request, with variables."""

    @property
    def extra(self) -> Mapping[str, Json]:
        """Fields that are added to the body of each request."""

    @property
    def parameters(self) -> dict[str, Json]:
        """The parameters of a request that are left out once the endpoint refuses them."""

    def resolve_endpoint(self, environ: Mapping[str, str]) -> Endpoint:
        """Return the address of the model and the key for it."""

    def connect(self, environ: Mapping[str, str]) -> ChatClient:
        """Load the client, which takes a second; raise RuntimeError if it cannot be loaded."""


def check(spec: JudgeSpec, environment: RunEnvironment) -> list[str]:
    """Return wrong arguments, a missing key, and a limit on the cost of a model without a price."""
    arguments, wrong = convert_arguments(spec.args, OpenaiJudgeArguments, shorthand="model")
    if arguments is None:
        return wrong
    return find_chat_judge_problems(arguments, spec, environment.environ, RESERVED_JUDGE_KEYS)


def find_chat_judge_problems(
    arguments: ChatJudgeArguments,
    spec: JudgeSpec,
    environ: Mapping[str, str],
    reserved: Sequence[str],
) -> list[str]:
    """Return what would prevent a call; `reserved` are the keys that `extra` may not have."""
    return [
        *find_body_problems(arguments, reserved),
        *arguments.resolve_endpoint(environ).find_problems(),
        *find_unset_variables(arguments.headers.values(), environ),
        *find_header_problems(arguments.headers, environ),
        *_find_price_problems(arguments, spec, environ),
    ]


def _find_price_problems(
    arguments: ChatJudgeArguments, spec: JudgeSpec, environ: Mapping[str, str]
) -> Iterator[str]:
    # The prices are only looked up if they are needed: loading them is slow.
    if spec.max_cost_usd is not None and not _list_prices(arguments, spec, environ).is_known:
        yield (
            f"max_cost_usd is set, but there is no price for {arguments.model!r} at "
            f"{arguments.resolve_endpoint(environ).server}. Add prices: {{input: ..., output: ...}} "
            "in USD per million tokens (0 if it is free), or remove max_cost_usd."
        )


def _list_prices(
    arguments: ChatJudgeArguments, spec: JudgeSpec, environ: Mapping[str, str]
) -> PriceList:
    endpoint = arguments.resolve_endpoint(environ)
    return PriceList(
        model=arguments.model, url=endpoint.url, is_local=endpoint.is_local, set_prices=spec.prices
    )


@asynccontextmanager
async def open(  # noqa: A001 - a function of JudgeKind
    spec: JudgeSpec, environment: RunEnvironment
) -> AsyncIterator[ChatJudge]:
    """Yield the judge, which loads the client when it is started or first used."""
    arguments, wrong = convert_arguments(spec.args, OpenaiJudgeArguments, shorthand="model")
    if arguments is None:
        raise ValueError(wrong[0])  # `check` comes first
    async with open_chat_judge(arguments, spec, environment) as judge:
        yield judge


@asynccontextmanager
async def open_chat_judge(
    arguments: ChatJudgeArguments, spec: JudgeSpec, environment: RunEnvironment
) -> AsyncIterator[ChatJudge]:
    """Yield a judge with valid arguments, and close its client afterwards."""
    judge = ChatJudge(arguments, spec, environment)
    try:
        yield judge
    finally:
        await judge.close()


class ChatJudge:
    """A judge that asks a chat model for its votes, with one client for the whole run."""

    is_local = False

    def __init__(
        self, arguments: ChatJudgeArguments, spec: JudgeSpec, environment: RunEnvironment
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
        asked = [arguments.model, arguments.parameters, arguments.extra]
        settings = [spec.kind, prompt.PROMPT_VERSION, *asked, spec.votes]
        self.digest = digest_judge(self._endpoint, arguments.headers, settings)

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

    def stop(self) -> None:
        """Start no further call and end the waits before retries; calls in flight may finish."""
        self._circuit_breaker.trip(STOPPED)

    async def grade(self, request: JudgeRequest) -> JudgeVote:
        """Judge an answer once."""
        chat = await self._wait_until_started()
        if chat is None:
            vote = JudgeVote(state="judge_error", kind="judge_down", problem=self.down_reason)
        else:
            vote = await ask_judge(chat, request, secrets.token_hex(8))
        return replace(vote, judge=self.name, digest=self.digest)

    def bound_calls(self, votes: int) -> int:
        """Return the most requests that so many votes can take, without retries after failures.

        A reply that is no verdict is asked for once more. The first votes find out the mode, and which
        parameters the endpoint refuses.
        """
        first = min(votes, self._spec.concurrency, 1 + MAX_GUESSES)
        sent = [
            name for name in OPTIONAL_PARAMETERS if getattr(self._arguments, name, None) is not None
        ]
        # `max_tokens` is sent again as `max_completion_tokens`, which may be refused as well.
        refusable = len(sent) + ("max_tokens" in sent)
        guesses = max(0, first - 1)
        # A vote that fails in every mode takes as many requests as there are modes, and no second reply.
        failing = min(votes, MAX_CONSECUTIVE_FAILURES - 1)
        probes = len(JSON_MODES) - 1 + (len(JSON_MODES) - MAX_REPLIES) * failing
        # One plain request finds out whether the endpoint refuses the judge or only a request.
        confirming = 1
        return MAX_REPLIES * votes + probes + guesses + refusable * first + confirming

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
            problem = Problem(
                message=f"judge {self._spec.kind}: {MISSING_TRANSPORT_MESSAGE}", where=where
            )
            self._circuit_breaker.trip(MISSING_TRANSPORT_MESSAGE, problem)
            return None
        arguments = self._arguments
        return OpenaiChat(
            self._spec,
            self._client,
            RequestFormat(arguments.parameters, arguments.extra),
            breaker=self._circuit_breaker,
            prices=_list_prices(arguments, self._spec, self._environ),
            lane=Lane(
                self._pacer,
                deadline_s=self._spec.deadline_s,
                concurrency=self._spec.concurrency,
                rate=self._spec.rate,
                tokens_per_min=self._spec.tokens_per_min,
            ),
        )

    def _load_client(self) -> ChatClient:
        client = self._arguments.connect(self._environ)
        # Load the prices in this thread, so that the first reply does not wait for them.
        if not self._spec.prices and not self._endpoint.is_local:
            load_known_prices()
        return client
