"""The agent kind `openai`: a chat model with a system prompt, called through the openai client."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from evalkit.agents.arguments import raise_problems, read_arguments, to_problem
from evalkit.agents.completion import ChatCompletion, parse_tool_calls, parse_usage
from evalkit.agents.network_errors import get_host
from evalkit.agents.openai_client import (
    MISSING_TRANSPORT_MESSAGE,
    ChatClient,
    ChatRequestError,
    Endpoint,
    connect,
    find_body_problems,
)
from evalkit.agents.placeholders import to_messages
from evalkit.agents.reply import bad_reply_error, to_output
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec, Case
from evalkit.core.literals import Json
from evalkit.core.location import Problem
from evalkit.core.run import RunEnvironment
from evalkit.core.trial import Output, Request

RESERVED_KEYS = ("model", "messages", "temperature", "max_tokens", "stream", "n")
"""Keys that `extra` may not have: another argument sets them, or the reply could not be read."""

CUT_OFF = "cut_off"
"""The flag of an answer that ends at the limit of tokens."""

NO_ANSWER_REASONS = ("length", "content_filter")
"""Finish reasons with which an empty text is not an answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenaiArguments:
    """The arguments under `openai:`; a model's name in their place is `model`.

    `api_key_env` is the name of an environment variable. `extra` is added to the body of each request:
    `extra: {max_completion_tokens: 500, tools: [...]}`.
    """

    model: str
    system: str | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    extra: Mapping[str, Json] = field(default_factory=dict)

    def resolve_endpoint(self, environ: Mapping[str, str]) -> Endpoint:
        """Return the address of the model and the key for it."""
        return Endpoint.resolve(self.base_url, self.api_key_env, environ)

    @property
    def request_body(self) -> dict[str, Json]:
        """The body of a request without model and messages."""
        given = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        return {key: value for key, value in given.items() if value is not None} | {**self.extra}


def check(
    spec: AgentSpec,
    cases: Sequence[Case],  # noqa: ARG001 - a model accepts every case
    environment: RunEnvironment,
) -> Iterator[Problem]:
    """Yield wrong arguments and a missing key."""
    arguments = _read(spec)
    for message in (
        *find_body_problems(arguments.model, arguments.extra, RESERVED_KEYS),
        *arguments.resolve_endpoint(environment.environ).find_problems(),
    ):
        yield to_problem(spec, message)


def _read(spec: AgentSpec) -> OpenaiArguments:
    return read_arguments(spec, OpenaiArguments, shorthand="model")


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
    arguments = _read(spec)
    try:
        client = connect(arguments.resolve_endpoint(environment.environ), arguments.model)
    except RuntimeError as missing:
        raise InvalidInput([to_problem(spec, MISSING_TRANSPORT_MESSAGE)]) from missing
    try:
        yield OpenaiAgent(arguments, client)
    finally:
        await client.close()


class OpenaiAgent:
    """Calls the model once for every request, with the system prompt before the conversation."""

    def __init__(self, arguments: OpenaiArguments, client: ChatClient) -> None:
        self._arguments = arguments
        self._client = client

    async def answer(self, request: Request) -> Output:
        """Call the model once; the deadline applies to the whole exchange."""
        messages = to_messages(request.messages)
        if self._arguments.system is not None:
            messages.insert(0, {"role": "system", "content": self._arguments.system})
        started = time.monotonic()
        try:
            completion = await self._client.complete(
                messages, self._arguments.request_body, request.timeout_s
            )
        except ChatRequestError as failed:
            return Output(error=failed.error, latency_s=time.monotonic() - started)
        return self._to_output(completion, time.monotonic() - started)

    def _to_output(self, completion: ChatCompletion, latency_s: float) -> Output:
        """Return the first choice as an Output; a refusal is an answer, and so is a tool call."""
        choice = completion.choices[0]
        reason = choice.finish_reason
        text = choice.refusal if choice.text is None else choice.text
        calls = parse_tool_calls(choice.tool_calls)
        if not calls and (text is None or (text == "" and reason in NO_ANSWER_REASONS)):
            message = (
                f"{self._client.server} sent no answer: the model stopped without text "
                f"(finish_reason {reason!r})."
            )
            return Output(error=bad_reply_error(message, completion.source), latency_s=latency_s)
        # Without the reply's `id` and `created`, which differ even for equal answers.
        metadata = {
            "model": completion.model,
            "system_fingerprint": completion.fingerprint,
            "finish_reason": reason,
        }
        reply = {
            "output": text or "",
            "tool_calls": calls,
            "usage": parse_usage(completion.usage) or None,
            "metadata": {key: value for key, value in metadata.items() if value},
        }
        output = to_output(reply, latency_s)
        cut_off = (CUT_OFF,) if reason == "length" else ()
        return replace(output, flags=(*output.flags, *completion.flags, *cut_off))
