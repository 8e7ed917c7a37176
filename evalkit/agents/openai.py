"""An agent that is a chat model with a system prompt, asked through the openai client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import SplitResult, urlsplit

from evalkit.agents.arguments import read_arguments
from evalkit.agents.chat import NoAnswer, read_completion
from evalkit.agents.network import (
    CONNECT_S,
    connection_error,
    host_of,
    is_loopback,
    status_error,
    timeout_error,
    too_large_error,
)
from evalkit.agents.received import NotJson, TooLarge, decode_text, read_capped, read_json, redact
from evalkit.agents.replies import to_output
from evalkit.agents.templates import messages_of
from evalkit.caps import MAX_DETAIL
from evalkit.errors import InvalidInput
from evalkit.records import (
    AgentError,
    AgentSpec,
    Case,
    Json,
    Output,
    Problem,
    Request,
    Surroundings,
)
from evalkit.text import head

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI
    from openai.types.chat import ChatCompletionMessageParam

OPENAI_URL = "https://api.openai.com/v1"
DEFAULT_KEY_NAME = "OPENAI_API_KEY"
NO_KEY = "none"
"""What the client sends, since it must send something, to a server on this machine."""

OWN_KEYS = ("model", "messages", "temperature", "max_tokens", "stream", "n")
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

    @property
    def key_name(self) -> str:
        """The environment variable that holds the key."""
        return self.api_key_env or DEFAULT_KEY_NAME

    @property
    def body(self) -> dict[str, Json]:
        """What the body of a request holds beside model and messages."""
        given = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        return {key: value for key, value in given.items() if value is not None} | {**self.extra}


def check(spec: AgentSpec, cases: Sequence[Case], surroundings: Surroundings) -> list[Problem]:  # noqa: ARG001 - it takes any case
    """Find wrong arguments and a missing key."""
    try:
        arguments = _read(spec)
    except InvalidInput as invalid:
        return list(invalid.problems)
    messages = _find_trouble(arguments, surroundings.environ)
    return [Problem(message=f"openai: {message}", where=spec.where) for message in messages]


def _find_trouble(arguments: OpenaiArguments, environ: Mapping[str, str]) -> Iterator[str]:
    if not arguments.model:
        yield "'model' is empty. Give the model's name."
    for key in arguments.extra:
        if key in OWN_KEYS:
            place = (
                "beside 'extra'" if key in ("model", "temperature", "max_tokens") else "by evalkit"
            )
            yield f"'extra' may not hold {key!r}: it is set {place}."
    url = _split_url(arguments, environ)
    if url is None:
        yield "'base_url' is no HTTP address. Write base_url: https://host/v1"
        return
    needs_key = bool(arguments.api_key_env) or not is_loopback(url.hostname)
    if needs_key and not environ.get(arguments.key_name):
        yield (
            f"environment variable {arguments.key_name!r}, which holds the key, is not set. "
            f"Set it, or name another one with 'api_key_env'."
        )


def _read(spec: AgentSpec) -> OpenaiArguments:
    return read_arguments(spec, OpenaiArguments, shorthand="model")


def _base_url(arguments: OpenaiArguments, environ: Mapping[str, str]) -> str:
    return arguments.base_url or environ.get("OPENAI_BASE_URL") or OPENAI_URL


def _split_url(arguments: OpenaiArguments, environ: Mapping[str, str]) -> SplitResult | None:
    try:
        url = urlsplit(_base_url(arguments, environ))
        is_good = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:
        return None
    return url if is_good else None


def entrypoint(spec: AgentSpec) -> str:
    """The model, and the host it is asked at unless that is the usual one."""
    arguments = _read(spec)
    host = host_of(arguments.base_url or "")
    return f"{arguments.model} at {host}" if host else arguments.model


@asynccontextmanager
async def open(  # noqa: A001 - every kind of agent has a check, an open and an entrypoint
    spec: AgentSpec, surroundings: Surroundings
) -> AsyncIterator[OpenaiAgent]:
    """Yield the agent with one client for the whole run.

    Raises:
        InvalidInput: what `check` would find, or the client lacks its aiohttp transport.
    """
    problems = check(spec, (), surroundings)
    if problems:
        raise InvalidInput(problems)
    import openai  # noqa: PLC0415 - takes a second, which `check` does not need

    arguments = _read(spec)
    try:
        # A quarter to a third less CPU per call than the default transport at 20 calls in flight,
        # and less than half of it at 200, where the default one's pool is quadratic.
        transport = openai.DefaultAioHttpClient(
            follow_redirects=False, event_hooks={"response": [_read_if_refused]}
        )
    except RuntimeError as missing:
        message = "openai: the client has no aiohttp transport. Run: pip install 'openai[aiohttp]'"
        raise InvalidInput.single(message, spec.where) from missing
    client = openai.AsyncOpenAI(
        api_key=surroundings.environ.get(arguments.key_name) or NO_KEY,
        base_url=_base_url(arguments, surroundings.environ),
        max_retries=0,  # evalkit retries, within its own budget
        http_client=transport,
    )
    async with client:
        # The client imports half of itself when a resource is first touched: not in the first call.
        _ = client.chat.completions
        yield OpenaiAgent(arguments, client)


class _HttpResponse(Protocol):
    @property
    def is_success(self) -> bool: ...

    async def aread(self) -> bytes: ...


async def _read_if_refused(response: _HttpResponse) -> None:
    # The client reads the body of an error itself, but with httpx 0.28 leaves the connection open
    # when the deadline cuts that short. A hook that is cut short closes it.
    if not response.is_success:
        await response.aread()


class OpenaiAgent:
    """Asks the model once for every request, with the system prompt before the conversation."""

    def __init__(self, arguments: OpenaiArguments, client: AsyncOpenAI) -> None:
        self._arguments = arguments
        self._client = client
        self._server = host_of(str(client.base_url))
        self._secrets = [key for key in [client.api_key] if key != NO_KEY]

    async def answer(self, request: Request) -> Output:
        """Ask once; the deadline holds for the exchange as a whole."""
        import openai  # noqa: PLC0415 - loaded by `open`

        started = time.monotonic()
        try:
            async with asyncio.timeout(request.timeout_s):
                body = await self._exchange(request)
            return self._read(body, time.monotonic() - started)
        except TooLarge:
            error = too_large_error(self._server)
        except openai.APIStatusError as refused:
            error = self._status_error(refused)
        except TimeoutError:
            error = timeout_error(request.timeout_s, self._server)
        except UnicodeEncodeError:
            message = (
                "the conversation holds half a character (a lone surrogate), which UTF-8 cannot."
            )
            error = AgentError(kind="bad_request", message=message)
        except Exception as trouble:
            # Which of the exceptions of openai, httpx, httpx2 and aiohttp comes through depends on
            # the client's version and on how far the reply had come.
            known = connection_error(trouble, self._server)
            if known is None:
                raise
            error = known
        return Output(error=error, latency_s=time.monotonic() - started)

    async def _exchange(self, request: Request) -> bytes:
        import openai  # noqa: PLC0415 - loaded by `open`

        messages = messages_of(request.messages)
        if self._arguments.system is not None:
            messages.insert(0, {"role": "system", "content": self._arguments.system})
        # The body as it came: the client takes HTML for text, checks no types, and lets
        # JSONDecodeError through.
        async with self._client.chat.completions.with_streaming_response.create(
            model=self._arguments.model,
            messages=cast("list[ChatCompletionMessageParam]", messages),
            extra_body=self._arguments.body,
            timeout=openai.Timeout(None, connect=CONNECT_S),
        ) as response:
            return await read_capped(response.iter_bytes())

    def _status_error(self, refused: APIStatusError) -> AgentError:
        status = refused.status_code
        retry_after = refused.response.headers.get("retry-after")
        body, _ = redact(refused.response.content, self._secrets)
        error = status_error(status, retry_after, self._server, decode_text(body)[0])
        if 300 <= status < 400:
            message = f"{self._server} redirects. Write the final address as 'base_url'."
            return replace(error, kind="redirect", message=message)
        if status in (401, 403):
            message = (
                f"{self._server} refused the key in {self._arguments.key_name} (HTTP {status})."
            )
            return replace(error, kind="auth", message=message)
        if status == 404:
            message = f"{self._server} knows no model {self._arguments.model!r} or no such path."
            return replace(error, kind="not_found", message=message)
        # An empty account is told by the status of too many requests, but waiting does not fill it.
        return replace(error, retryable=error.retryable and refused.code != "insufficient_quota")

    def _read(self, body: bytes, latency_s: float) -> Output:
        body, redacted = redact(body, self._secrets)
        text, decoded = decode_text(body)
        try:
            output = to_output(read_completion(read_json(text)), latency_s)
        except (NotJson, NoAnswer) as wrong:
            error = AgentError(
                kind="bad_reply",
                message=f"{self._server} sent {wrong}.",
                detail=head(text, MAX_DETAIL),
            )
            return Output(error=error, latency_s=latency_s)
        cut_off = (CUT_OFF,) if output.metadata.get("finish_reason") == "length" else ()
        return replace(output, flags=(*output.flags, *redacted, *decoded, *cut_off))
