"""Send messages to a chat endpoint with the openai client; return a ChatCompletion or raise an error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from evalkit.agents.chat_errors import ChatTarget, classify_failure
from evalkit.agents.chat_stream import read_chat_json
from evalkit.agents.completion import (
    BadCompletion,
    ChatCompletion,
    find_reply_error,
    parse_completion,
)
from evalkit.agents.endpoint import Endpoint
from evalkit.agents.error_body import ErrorBody, read_error
from evalkit.agents.network_errors import (
    CONNECT_TIMEOUT_S,
    connection_error,
    iter_causes,
    timeout_error,
    too_large_error,
)
from evalkit.agents.rate_headers import find_wait_s
from evalkit.agents.reply import bad_reply_error
from evalkit.agents.reply_body import BodyReader, ReplyBody
from evalkit.agents.reply_text import (
    NotJson,
    ReplyTooLarge,
    decode_text,
    read_capped,
    redact,
    redact_json,
)
from evalkit.agents.stream_reply import ends_stream, find_first_token_s
from evalkit.core.literals import Json
from evalkit.core.safe_text import one_line
from evalkit.core.trial import AgentError

if TYPE_CHECKING:
    from openai import AsyncOpenAI


PLACEHOLDER_KEY = "none"
"""The key for a local server without a key, because the client requires one."""

MAX_REASON_LENGTH = 300
_SUCCESS = 200

MISSING_TRANSPORT_MESSAGE = (
    "the client has no aiohttp transport. Run: pip install 'openai[aiohttp]'"
)


class BodyArguments(Protocol):
    """The arguments of an agent or a judge from which the body of a request is made."""

    @property
    def model(self) -> str:
        """The name of the model."""

    @property
    def extra(self) -> Mapping[str, Json]:
        """Fields that are added to the body of each request."""


def find_body_problems(arguments: BodyArguments, reserved: Sequence[str]) -> Iterator[str]:
    """Yield a message for an empty model, and for each reserved key that `extra` has."""
    if not arguments.model:
        yield "'model' is empty. Give the model's name."
    for key in arguments.extra:
        if key in reserved:
            is_own = hasattr(arguments, key)
            reason = "it is an argument of its own" if is_own else "evalkit sets it"
            yield f"'extra' may not contain {key!r}: {reason}."


class HttpStatusError(Exception):
    """A reply with a status other than 2xx."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.headers = headers
        self.body = body


class ChatRequestError(Exception):
    """A call without a completion; `status` is that of the reply, if there was one, and `said` its error.

    The status of a reply of success is the one inside its error object, or 0.
    """

    def __init__(self, error: AgentError, status: int = 0, said: ErrorBody | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.status = status
        self.said = said or ErrorBody()


class BadReplyError(ChatRequestError):
    """A reply with status 2xx that is not a completion."""


async def _raise_for_status(response: Any) -> None:  # of httpx or httpx2
    # The client itself would read the body of an error without a limit and, with httpx 0.28, leave the
    # connection open when the deadline ends the read. An exception from a hook closes it.
    if not response.is_success:
        body = await read_capped(response.aiter_bytes())
        raise HttpStatusError(response.status_code, response.headers, body)


class ChatClient:
    """Calls one model, with one client for the whole run; never retries and follows no redirect.

    `secrets` are removed from replies.
    """

    def __init__(
        self, client: AsyncOpenAI, endpoint: Endpoint, model: str, secrets: Sequence[str]
    ) -> None:
        self.server = endpoint.server
        self.key_variable = endpoint.key_variable
        self._client = client
        self._model = model
        self._target = ChatTarget(
            server=endpoint.server, model=model, key_variable=endpoint.key_variable
        )
        self._secrets = [secret for secret in (endpoint.key, *secrets) if secret]

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def complete(
        self, messages: Sequence[Mapping[str, str]], body: Mapping[str, Json], timeout_s: float
    ) -> ChatCompletion:
        """Request a completion once; `body` is added to model and messages.

        Raises:
            ChatRequestError: there was no whole reply before the deadline, or it has an error status.
            BadReplyError: the reply is not a completion.
        """
        received = await self._post(messages, body, timeout_s)
        data, redacted = redact(received.data, self._secrets)
        text, decoded = decode_text(data)
        reply: Json = None
        first_token_s = None
        try:
            reply = read_chat_json(text)
            if received.events is not None:  # a secret may be spread over several events
                reply, found = redact_json(reply, self._secrets)
                redacted = redacted or found
                first_token_s = find_first_token_s(received.events)
            completion = parse_completion(reply)
        except (NotJson, BadCompletion) as wrong:
            raise self._to_bad_reply(wrong, reply, text) from None
        flags = (*redacted, *decoded)
        return replace(completion, source=text, flags=flags, first_token_s=first_token_s)

    def to_error(self, error: Json, text: str) -> AgentError:
        """Return the AgentError for an error object that an endpoint sent beside a message."""
        said = read_error({"error": error})
        return classify_failure(_SUCCESS, said, text, self._target)

    def _to_bad_reply(self, wrong: Exception, reply: Json, text: str) -> BadReplyError:
        """Return the error of a reply of success that is not a completion."""
        said = read_error(find_reply_error(reply))
        if said.is_error:
            error = classify_failure(_SUCCESS, said, text, self._target)
            return BadReplyError(error, said.status, said)
        # Gateways send pages and empty bodies during short problems: another attempt may get a completion.
        is_paid = isinstance(wrong, BadCompletion) and wrong.is_paid
        reason = f" It said: {one_line(said.message, MAX_REASON_LENGTH)!r}." if said.message else ""
        error = bad_reply_error(f"{self.server} sent {wrong}.{reason}", text)
        return BadReplyError(replace(error, retryable=not is_paid), 0, said)

    async def _post(
        self, messages: Sequence[Mapping[str, str]], body: Mapping[str, Json], timeout_s: float
    ) -> ReplyBody:
        """Return the body of a reply with status 2xx; raise ChatRequestError for any other."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._send(messages, body)
        except TimeoutError:
            raise ChatRequestError(timeout_error(timeout_s, self.server)) from None
        except UnicodeEncodeError:
            message = (
                "the conversation has half a character (a lone surrogate), which UTF-8 forbids."
            )
            raise ChatRequestError(AgentError(kind="bad_request", message=message)) from None
        except Exception as failure:
            # An exception of openai, httpx, httpx2 or aiohttp, depending on the version of the client and
            # on how much of the reply has arrived.
            raise self._to_chat_error(failure) from failure

    async def _send(
        self, messages: Sequence[Mapping[str, str]], body: Mapping[str, Json]
    ) -> ReplyBody:
        import openai  # noqa: PLC0415 - loaded by `connect`

        reader = BodyReader(time.monotonic(), partial(ends_stream, stream="openai"))

        # The raw body, because the client returns HTML as text, checks no types, and raises
        # JSONDecodeError. Messages go into `extra_body`, because the client would walk through
        # `messages`, which takes as long as the rest of a call.
        async with self._client.chat.completions.with_streaming_response.create(
            model=self._model,
            messages=(),
            extra_body={"messages": messages, **body},
            timeout=openai.Timeout(None, connect=CONNECT_TIMEOUT_S),
        ) as response:
            media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            return await reader.read(response.iter_bytes(), media_type)

    def _to_chat_error(self, failure: Exception) -> Exception:
        """Return the ChatRequestError for a failure; return the exception itself if it is a bug."""
        for cause in iter_causes(failure):
            match cause:
                case HttpStatusError():
                    return self._to_status_error(cause)
                case ReplyTooLarge():
                    return ChatRequestError(too_large_error(self.server))
        error = connection_error(failure, self.server)
        return ChatRequestError(error) if error is not None else failure

    def _to_status_error(self, reply: HttpStatusError) -> ChatRequestError:
        text, _ = decode_text(redact(reply.body, self._secrets)[0])
        try:
            said = read_error(read_chat_json(text))
        except NotJson:
            said = read_error(text)
        wait_s = find_wait_s(reply.headers, datetime.now(UTC))
        error = classify_failure(reply.status, said, text, self._target, wait_s)
        return ChatRequestError(error, reply.status, said)


async def _drop_token(request: Any) -> None:  # of httpx or httpx2
    # `api-key` is Azure's header for a key. The client sends the key as a token too, which Azure checks.
    del request.headers["authorization"]


def open_transport() -> Any:  # of httpx or httpx2
    """Return the HTTP client for calls to models; it raises HttpStatusError for error replies.

    Raises:
        RuntimeError: it was installed without its aiohttp transport.
    """
    import openai  # noqa: PLC0415 - takes a second, which checking a set does not need

    # This transport takes a quarter to a third less CPU per call than the default one with 20 calls in
    # flight, and less than half of it with 200, because the default one's pool is quadratic.
    return openai.DefaultAioHttpClient(
        follow_redirects=False, event_hooks={"response": [_raise_for_status]}
    )


def connect(  # noqa: PLR0913 - each is a header of every request
    endpoint: Endpoint,
    model: str,
    *,
    headers: Mapping[str, str] | None = None,
    secrets: Sequence[str] = (),
    organization: str | None = None,
    project: str | None = None,
) -> ChatClient:
    """Import the openai package and create a client; this takes a second and may run in a thread.

    Raises:
        RuntimeError: the client was installed without its aiohttp transport.
    """
    import openai  # noqa: PLC0415 - takes a second, which checking a set does not need

    transport = open_transport()
    names = {name.lower() for name in headers or ()}
    if "api-key" in names and "authorization" not in names:
        transport.event_hooks["request"] = [_drop_token]
    base_url, query = endpoint.split_url()
    client = openai.AsyncOpenAI(
        api_key=endpoint.key or PLACEHOLDER_KEY,
        base_url=base_url,
        default_query=query,
        max_retries=0,  # evalkit itself retries, within its own budget
        http_client=transport,
        default_headers=headers,
        organization=organization,
        project=project,
    )
    # The client imports many modules when a resource is first used: do that now, not during a call.
    _ = client.chat.completions
    return ChatClient(client, endpoint, model, secrets)
