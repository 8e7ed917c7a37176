"""An agent that is a chat model with a system prompt, asked through the openai client."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from evalkit.agents.arguments import read_arguments
from evalkit.agents.completion import NoAnswer, read_completion
from evalkit.agents.network_errors import get_host
from evalkit.agents.openai_client import (
    MISSING_TRANSPORT_MESSAGE,
    ChatClient,
    ChatRequestError,
    Endpoint,
    connect,
)
from evalkit.agents.placeholders import to_messages
from evalkit.agents.reply import to_output
from evalkit.agents.reply_text import NotJson, decode_text, read_json
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec, Case
from evalkit.core.limits import MAX_DETAIL_CHARS
from evalkit.core.literals import Json
from evalkit.core.location import Problem
from evalkit.core.run import RunEnvironment
from evalkit.core.safe_text import head
from evalkit.core.trial import AgentError, Output, Request

RESERVED_KEYS = ("model", "messages", "temperature", "max_tokens", "stream", "n")
"""What `extra` may not hold: it is said elsewhere, or would make the reply unreadable."""

CUT_OFF = "cut_off"
"""The flag of an answer that ends where the allowed tokens did."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenaiArguments:
    """What stands under `openai:`; a model's name in its place is `model`.

    `api_key_env` is the name of an environment variable. `extra` goes into the body of each request
    as it is: `extra: {max_completion_tokens: 500, tools: [...]}`.
    """

    model: str
    system: str | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    extra: Mapping[str, Json] = field(default_factory=dict)

    def resolve_endpoint(self, environ: Mapping[str, str]) -> Endpoint:
        """Where the model is."""
        return Endpoint.resolve(self.base_url, self.api_key_env, environ)

    @property
    def request_body(self) -> dict[str, Json]:
        """What the body of a request holds beside model and messages."""
        given = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        return {key: value for key, value in given.items() if value is not None} | {**self.extra}


def check(spec: AgentSpec, cases: Sequence[Case], surroundings: RunEnvironment) -> list[Problem]:  # noqa: ARG001 - it takes any case
    """Find wrong arguments and a missing key."""
    try:
        arguments = _read(spec)
    except InvalidInput as invalid:
        return list(invalid.problems)
    messages = [
        *_find_argument_problems(arguments),
        *arguments.resolve_endpoint(surroundings.environ).find_problems(),
    ]
    return [Problem(message=f"openai: {message}", where=spec.where) for message in messages]


def _find_argument_problems(arguments: OpenaiArguments) -> Iterator[str]:
    if not arguments.model:
        yield "'model' is empty. Give the model's name."
    for key in arguments.extra:
        if key in RESERVED_KEYS:
            place = (
                "beside 'extra'" if key in ("model", "temperature", "max_tokens") else "by evalkit"
            )
            yield f"'extra' may not hold {key!r}: it is set {place}."


def _read(spec: AgentSpec) -> OpenaiArguments:
    return read_arguments(spec, OpenaiArguments, shorthand="model")


def entrypoint(spec: AgentSpec) -> str:
    """The model, and the host it is asked at unless that is the usual one."""
    arguments = _read(spec)
    host = get_host(arguments.base_url or "")
    return f"{arguments.model} at {host}" if host else arguments.model


@asynccontextmanager
async def open(  # noqa: A001 - every kind of agent has a check, an open and an entrypoint
    spec: AgentSpec, surroundings: RunEnvironment
) -> AsyncIterator[OpenaiAgent]:
    """Yield the agent with one client for the whole run.

    Raises:
        InvalidInput: what `check` would find, or the client lacks its aiohttp transport.
    """
    problems = check(spec, (), surroundings)
    if problems:
        raise InvalidInput(problems)
    arguments = _read(spec)
    endpoint = arguments.resolve_endpoint(surroundings.environ)
    try:
        client = connect(endpoint, arguments.model)
    except RuntimeError as missing:
        raise InvalidInput.single(f"openai: {MISSING_TRANSPORT_MESSAGE}", spec.where) from missing
    try:
        yield OpenaiAgent(arguments, endpoint, client)
    finally:
        await client.close()


class OpenaiAgent:
    """Asks the model once for every request, with the system prompt before the conversation."""

    def __init__(self, arguments: OpenaiArguments, endpoint: Endpoint, client: ChatClient) -> None:
        self._arguments = arguments
        self._server = endpoint.server
        self._client = client

    async def answer(self, request: Request) -> Output:
        """Ask once; the deadline holds for the exchange as a whole."""
        messages = to_messages(request.messages)
        if self._arguments.system is not None:
            messages.insert(0, {"role": "system", "content": self._arguments.system})
        started = time.monotonic()
        try:
            body, flags = await self._client.post(
                messages, self._arguments.request_body, request.timeout_s
            )
        except ChatRequestError as trouble:
            return Output(error=trouble.error, latency_s=time.monotonic() - started)
        return self._read(body, flags, time.monotonic() - started)

    def _read(self, body: bytes, flags: tuple[str, ...], latency_s: float) -> Output:
        text, decoded = decode_text(body)
        try:
            output = to_output(read_completion(read_json(text)), latency_s)
        except (NotJson, NoAnswer) as wrong:
            error = AgentError(
                kind="bad_reply",
                message=f"{self._server} sent {wrong}.",
                detail=head(text, MAX_DETAIL_CHARS),
            )
            return Output(error=error, latency_s=latency_s)
        cut_off = (CUT_OFF,) if output.metadata.get("finish_reason") == "length" else ()
        return replace(output, flags=(*output.flags, *flags, *decoded, *cut_off))
