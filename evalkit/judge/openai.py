"""A judge that is a chat model behind any OpenAI-compatible endpoint, asked through the openai client."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from evalkit.agents.arguments import convert_arguments
from evalkit.agents.http_message import (
    expand_variables,
    find_header_problems,
    find_header_secrets,
    find_unset_variables,
)
from evalkit.agents.openai_client import MISSING_TRANSPORT_MESSAGE, ChatClient, Endpoint, connect
from evalkit.core.judgement import JudgeSpec, JudgeVote
from evalkit.core.literals import Json
from evalkit.core.location import Location, Problem
from evalkit.core.run import RunEnvironment
from evalkit.core.serialization import digest
from evalkit.judge import prompt
from evalkit.judge.budgets import AdaptiveLimit, CircuitBreaker, CostBudget, RetryBudget
from evalkit.judge.chat_vote import ask_judge
from evalkit.judge.judge import JudgeRequest
from evalkit.judge.openai_chat import JudgeResources, OpenaiChat
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
"""What `extra` may not hold: it is said elsewhere, or is what the judge's replies hang on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenaiJudgeArguments:
    """What stands under `openai:` of a judge; a model's name in its place is `model`.

    `api_key_env` is the name of an environment variable, and `${NAME}` in `headers` is one.
    `temperature`, `seed` and `max_tokens` are left out of requests once the endpoint refuses them, and
    where they are null. `extra` goes into the body of each request as it is.
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
        """Where the model is."""
        return Endpoint.resolve(self.base_url, self.api_key_env, environ)

    def build_price_list(self, spec: JudgeSpec, environ: Mapping[str, str]) -> PriceList:
        """What its calls cost."""
        endpoint = self.resolve_endpoint(environ)
        return PriceList(
            model=self.model, url=endpoint.url, is_local=endpoint.is_local, set_prices=spec.prices
        )


def check(spec: JudgeSpec, surroundings: RunEnvironment) -> list[str]:
    """Find wrong arguments, a missing key, and a limit of cost on what has no price."""
    arguments, wrong = convert_arguments(spec.args, OpenaiJudgeArguments, shorthand="model")
    if arguments is None:
        return wrong
    environ = surroundings.environ
    return [
        *_find_argument_problems(arguments),
        *arguments.resolve_endpoint(environ).find_problems(),
        *find_unset_variables(arguments.headers.values(), environ),
        *find_header_problems(arguments.headers, environ),
        *_find_price_problems(arguments, spec, environ),
    ]


def _find_argument_problems(arguments: OpenaiJudgeArguments) -> Iterator[str]:
    if not arguments.model:
        yield "'model' is empty. Give the model's name."
    for key in arguments.extra:
        if key in RESERVED_JUDGE_KEYS:
            is_argument = key in ("model", "temperature", "seed", "max_tokens")
            place = "beside 'extra'" if is_argument else "by evalkit"
            yield f"'extra' may not hold {key!r}: it is set {place}."


def _find_price_problems(
    arguments: OpenaiJudgeArguments, spec: JudgeSpec, environ: Mapping[str, str]
) -> Iterator[str]:
    if spec.max_cost_usd is None:
        return
    if not arguments.build_price_list(spec, environ).is_known:
        yield (
            f"max_cost_usd is set, and no price of {arguments.model!r} at "
            f"{arguments.resolve_endpoint(environ).server} is known. Add prices: {{input: ..., output: ...}} "
            "in USD per million tokens, or take max_cost_usd out."
        )


@asynccontextmanager
async def open(  # noqa: A001 - every kind of judge has a check and an open
    spec: JudgeSpec, surroundings: RunEnvironment
) -> AsyncIterator[OpenaiJudge]:
    """Yield the judge, who loads the client when it is started or first asked."""
    arguments, wrong = convert_arguments(spec.args, OpenaiJudgeArguments, shorthand="model")
    if arguments is None:
        raise ValueError(wrong[0])  # `check` comes first
    judge = OpenaiJudge(arguments, spec, surroundings.environ)
    try:
        yield judge
    finally:
        await judge.close()


class OpenaiJudge:
    """Asks for verdicts, with one client for the whole run."""

    is_local = False

    def __init__(
        self, arguments: OpenaiJudgeArguments, spec: JudgeSpec, environ: Mapping[str, str]
    ) -> None:
        self._arguments = arguments
        self._spec = spec
        self._environ = environ
        self._endpoint = arguments.resolve_endpoint(environ)
        self._circuit_breaker = CircuitBreaker()
        self._client: ChatClient | None = None
        self._starting: asyncio.Task[OpenaiChat | None] | None = None
        self.name = f"{arguments.model} at {self._endpoint.server}"
        self.votes = spec.votes
        self.digest = digest(
            [
                "openai",
                prompt.PROMPT_VERSION,
                self._endpoint.url,
                arguments.model,
                arguments.temperature,
                arguments.seed,
                arguments.max_tokens,
                arguments.extra,
                arguments.headers,
                spec.votes,
            ]
        )

    @property
    def down_reason(self) -> str:
        """Why it will answer no more in this run."""
        return self._circuit_breaker.trip_reason

    @property
    def problem_to_fix(self) -> Problem | None:
        """What is to be mended before it answers."""
        return self._circuit_breaker.problem_to_fix

    async def start(self) -> None:
        """Load the client, in a thread: the agents are at work meanwhile."""
        await self._wait_until_started()

    async def grade(self, question: JudgeRequest) -> JudgeVote:
        """Judge an answer once."""
        chat = await self._wait_until_started()
        if chat is None:
            reading = JudgeVote(state="judge_error", kind="judge_down", problem=self.down_reason)
        else:
            reading = await ask_judge(chat, question, secrets.token_hex(8))
        return replace(reading, judge=self.name, digest=self.digest)

    async def close(self) -> None:
        """Let go of the client."""
        if self._client is not None:
            await self._client.close()

    async def _wait_until_started(self) -> OpenaiChat | None:
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._connect())
        return await asyncio.shield(self._starting)

    async def _connect(self) -> OpenaiChat | None:
        """Get ready; None, and down, where the client cannot be loaded."""
        try:
            self._client = await asyncio.to_thread(self._load_client)
        except RuntimeError:
            where = Location(path=self._spec.path, line=self._spec.line)
            problem = Problem(message=f"judge openai: {MISSING_TRANSPORT_MESSAGE}", where=where)
            self._circuit_breaker.trip(MISSING_TRANSPORT_MESSAGE, problem)
            return None
        arguments, spec = self._arguments, self._spec
        means = JudgeResources(
            client=self._client,
            request_format=RequestFormat(
                {
                    "temperature": arguments.temperature,
                    "seed": arguments.seed,
                    "max_tokens": arguments.max_tokens,
                },
                arguments.extra,
            ),
            concurrency_limit=AdaptiveLimit(spec.concurrency),
            retry_budget=RetryBudget(spec.deadline_s, time.monotonic),
            circuit_breaker=self._circuit_breaker,
            cost_budget=CostBudget(spec.max_cost_usd),
            prices=arguments.build_price_list(spec, self._environ),
        )
        return OpenaiChat(spec, self._endpoint, means, random.Random())  # noqa: S311 - spreads retries

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
        if not self._spec.prices and not self._endpoint.is_local:
            load_prices()
        return client
