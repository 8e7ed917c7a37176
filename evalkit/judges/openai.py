"""A judge that is a chat model behind any OpenAI-compatible endpoint, asked through the openai client."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from evalkit.agents.arguments import bind_given
from evalkit.agents.headers import expand, find_header_trouble, find_unset, secrets_in
from evalkit.agents.openai_client import NO_TRANSPORT, ChatClient, Endpoint, connect
from evalkit.digest import digest
from evalkit.judgement import JudgeSpec, Reading
from evalkit.judges.budget import Fuse, Patience, Purse
from evalkit.judges.chat import Means, OpenaiChat
from evalkit.judges.dialect import Dialect
from evalkit.judges.limiter import Limiter
from evalkit.judges.prices import PriceList, load_prices
from evalkit.judging import prompt
from evalkit.judging.asking import ask
from evalkit.judging.question import Question
from evalkit.records import Json, Location, Problem, Surroundings

OWN_KEYS = (
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
class JudgeArguments:
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

    def endpoint(self, environ: Mapping[str, str]) -> Endpoint:
        """Where the model is."""
        return Endpoint.of(self.base_url, self.api_key_env, environ)

    def prices(self, spec: JudgeSpec, environ: Mapping[str, str]) -> PriceList:
        """What its calls cost."""
        endpoint = self.endpoint(environ)
        return PriceList(
            model=self.model, url=endpoint.url, is_here=endpoint.is_here, given=spec.prices
        )


def check(spec: JudgeSpec, surroundings: Surroundings) -> list[str]:
    """Find wrong arguments, a missing key, and a limit of cost on what has no price."""
    arguments, wrong = bind_given(spec.args, JudgeArguments, shorthand="model")
    if arguments is None:
        return wrong
    environ = surroundings.environ
    return [
        *_find_trouble(arguments),
        *arguments.endpoint(environ).find_trouble(),
        *find_unset(arguments.headers.values(), environ),
        *find_header_trouble(arguments.headers, environ),
        *_find_price_trouble(arguments, spec, environ),
    ]


def _find_trouble(arguments: JudgeArguments) -> Iterator[str]:
    if not arguments.model:
        yield "'model' is empty. Give the model's name."
    for key in arguments.extra:
        if key in OWN_KEYS:
            is_argument = key in ("model", "temperature", "seed", "max_tokens")
            place = "beside 'extra'" if is_argument else "by evalkit"
            yield f"'extra' may not hold {key!r}: it is set {place}."


def _find_price_trouble(
    arguments: JudgeArguments, spec: JudgeSpec, environ: Mapping[str, str]
) -> Iterator[str]:
    if spec.max_cost_usd is None:
        return
    if not arguments.prices(spec, environ).is_known:
        yield (
            f"max_cost_usd is set, and no price of {arguments.model!r} at "
            f"{arguments.endpoint(environ).server} is known. Add prices: {{input: ..., output: ...}} "
            "in USD per million tokens, or take max_cost_usd out."
        )


@asynccontextmanager
async def open(  # noqa: A001 - every kind of judge has a check and an open
    spec: JudgeSpec, surroundings: Surroundings
) -> AsyncIterator[OpenaiJudge]:
    """Yield the judge, who loads the client when it is started or first asked."""
    arguments, wrong = bind_given(spec.args, JudgeArguments, shorthand="model")
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
        self, arguments: JudgeArguments, spec: JudgeSpec, environ: Mapping[str, str]
    ) -> None:
        self._arguments = arguments
        self._spec = spec
        self._environ = environ
        self._endpoint = arguments.endpoint(environ)
        self._fuse = Fuse()
        self._client: ChatClient | None = None
        self._starting: asyncio.Task[OpenaiChat | None] | None = None
        self.name = f"{arguments.model} at {self._endpoint.server}"
        self.votes = spec.votes
        self.digest = digest(
            [
                "openai",
                prompt.VERSION,
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
    def down(self) -> str:
        """Why it will answer no more in this run."""
        return self._fuse.blown

    @property
    def refused(self) -> Problem | None:
        """What is to be mended before it answers."""
        return self._fuse.refused

    async def start(self) -> None:
        """Load the client, in a thread: the agents are at work meanwhile."""
        await self._started()

    async def read(self, question: Question) -> Reading:
        """Judge an answer once."""
        chat = await self._started()
        if chat is None:
            reading = Reading(state="judge_error", kind="judge_down", problem=self.down)
        else:
            reading = await ask(chat, question, secrets.token_hex(8))
        return replace(reading, judge=self.name, digest=self.digest)

    async def close(self) -> None:
        """Let go of the client."""
        if self._client is not None:
            await self._client.close()

    async def _started(self) -> OpenaiChat | None:
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._connect())
        return await asyncio.shield(self._starting)

    async def _connect(self) -> OpenaiChat | None:
        """Get ready; None, and down, where the client cannot be loaded."""
        try:
            self._client = await asyncio.to_thread(self._load)
        except RuntimeError:
            where = Location(path=self._spec.path, line=self._spec.line)
            problem = Problem(message=f"judge openai: {NO_TRANSPORT}", where=where)
            self._fuse.blow(NO_TRANSPORT, problem)
            return None
        arguments, spec = self._arguments, self._spec
        means = Means(
            client=self._client,
            dialect=Dialect(
                {
                    "temperature": arguments.temperature,
                    "seed": arguments.seed,
                    "max_tokens": arguments.max_tokens,
                },
                arguments.extra,
            ),
            limiter=Limiter(spec.concurrency),
            patience=Patience(spec.deadline_s, time.monotonic),
            fuse=self._fuse,
            purse=Purse(spec.max_cost_usd),
            prices=arguments.prices(spec, self._environ),
        )
        return OpenaiChat(spec, self._endpoint, means, random.Random())  # noqa: S311 - spreads retries

    def _load(self) -> ChatClient:
        arguments, environ = self._arguments, self._environ
        headers = {name: expand(value, environ) for name, value in arguments.headers.items()}
        client = connect(
            self._endpoint,
            arguments.model,
            headers=headers,
            secrets=secrets_in(arguments.headers, environ),
            organization=arguments.organization,
            project=arguments.project,
        )
        if not self._spec.prices and not self._endpoint.is_here:
            load_prices()
        return client
