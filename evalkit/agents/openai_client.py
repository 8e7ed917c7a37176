"""Send messages to a chat endpoint with the openai client; return a ChatCompletion or raise an error."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from evalkit.agents.completion import BadCompletion, ChatCompletion, parse_completion
from evalkit.agents.error_body import find_error, find_error_status
from evalkit.agents.network_errors import (
    CONNECT_TIMEOUT_S,
    TRANSIENT_STATUSES,
    connection_error,
    get_host,
    is_loopback,
    iter_causes,
    split_url,
    status_error,
    timeout_error,
    too_large_error,
)
from evalkit.agents.reply import bad_reply_error
from evalkit.agents.reply_text import (
    NotJson,
    ReplyTooLarge,
    decode_text,
    read_capped,
    read_json,
    redact,
)
from evalkit.core.literals import Json
from evalkit.core.trial import AgentError

if TYPE_CHECKING:
    from openai import AsyncOpenAI


OPENAI_URL = "https://api.openai.com/v1"
DEFAULT_KEY_VARIABLE = "OPENAI_API_KEY"
PLACEHOLDER_KEY = "none"
"""The key for a local server without a key, because the client requires one."""

MISSING_TRANSPORT_MESSAGE = (
    "the client has no aiohttp transport. Run: pip install 'openai[aiohttp]'"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """The address of a model, and the key for it.

    `key_variable` is the environment variable that holds the key. It must be set if the eval set names
    it (`is_key_named`), or if the endpoint is not on this machine.
    """

    url: str
    key_variable: str
    key: str
    is_key_named: bool

    @classmethod
    def resolve(
        cls, base_url: str | None, api_key_env: str | None, environ: Mapping[str, str]
    ) -> Endpoint:
        """Return the endpoint that an eval set names, or the default one."""
        variable = api_key_env or DEFAULT_KEY_VARIABLE
        return cls(
            url=base_url or environ.get("OPENAI_BASE_URL") or OPENAI_URL,
            key_variable=variable,
            key=environ.get(variable, ""),
            is_key_named=bool(api_key_env),
        )

    @property
    def server(self) -> str:
        """Host and port, for messages."""
        return get_host(self.url)

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is on this machine."""
        url = split_url(self.url)
        return url is not None and is_loopback(url.hostname)

    def find_problems(self) -> Iterator[str]:
        """Yield a message for everything that would prevent a call."""
        url = split_url(self.url)
        if url is None or not url.netloc.isascii():
            yield "'base_url' is not an HTTP URL. Write base_url: https://host/v1"
        elif "@" in url.netloc:
            yield (
                "'base_url' may not contain a user or a password, because it is stored with the run. Give "
                "the key's variable as 'api_key_env', or add a header with ${NAME}."
            )
        elif not self.key and (self.is_key_named or not self.is_local):
            yield (
                f"environment variable {self.key_variable!r}, which holds the key, is not set. "
                f"Set it, or name another one with 'api_key_env'."
            )


def find_body_problems(
    model: str, extra: Mapping[str, Json], reserved: Sequence[str]
) -> Iterator[str]:
    """Yield a message for an empty model, and for each key that `extra` may not have."""
    if not model:
        yield "'model' is empty. Give the model's name."
    arguments = ("model", "temperature", "seed", "max_tokens")
    for key in extra:
        if key in reserved:
            reason = "it is an argument of its own" if key in arguments else "evalkit sets it"
            yield f"'extra' may not contain {key!r}: {reason}."


class HttpStatusError(Exception):
    """A reply with a status other than 2xx."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.headers = headers
        self.body = body


class ChatRequestError(Exception):
    """A call without a completion; `status` and `body` are those of the reply, if there was one."""

    def __init__(self, error: AgentError, status: int = 0, body: Json = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.status = status
        self.body = body


class BadReplyError(ChatRequestError):
    """A reply with status 2xx that is not a completion.

    `status` is the one inside the error object that some gateways send instead, or 0.
    """


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
        received, redacted = redact(await self._post(messages, body, timeout_s), self._secrets)
        text, decoded = decode_text(received)
        reply: Json = None
        try:
            reply = read_json(text)
            completion = parse_completion(reply)
        except (NotJson, BadCompletion) as wrong:
            what = "an error in place of a completion" if find_error(reply) else wrong
            error = bad_reply_error(f"{self.server} sent {what}.", text)
            status = find_error_status(reply)
            is_transient = status in TRANSIENT_STATUSES
            error = replace(error, retryable=is_transient, transient=is_transient)
            raise BadReplyError(error, status, reply) from None
        return replace(completion, source=text, flags=(*redacted, *decoded))

    async def _post(
        self, messages: Sequence[Mapping[str, str]], body: Mapping[str, Json], timeout_s: float
    ) -> bytes:
        """Return the bytes of a reply with status 2xx; raise ChatRequestError for any other."""
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

    async def _send(self, messages: Sequence[Mapping[str, str]], body: Mapping[str, Json]) -> bytes:
        import openai  # noqa: PLC0415 - loaded by `connect`

        # The raw body, because the client returns HTML as text, checks no types, and raises
        # JSONDecodeError. Messages go into `extra_body`, because the client would walk through
        # `messages`, which takes as long as the rest of a call.
        async with self._client.chat.completions.with_streaming_response.create(
            model=self._model,
            messages=(),
            extra_body={"messages": messages, **body},
            timeout=openai.Timeout(None, connect=CONNECT_TIMEOUT_S),
        ) as response:
            return await read_capped(response.iter_bytes())

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
        status, server = reply.status, self.server
        text, _ = decode_text(redact(reply.body, self._secrets)[0])
        error = status_error(status, reply.headers, server, text)
        if 300 <= status < 400:
            message = f"{server} redirects. Write the final URL as 'base_url'."
            error = replace(error, kind="redirect", message=message)
        elif status in (401, 403):
            message = f"{server} refused the key in {self.key_variable} (HTTP {status})."
            error = replace(error, kind="auth", message=message)
        elif status == 404:
            message = f"{server} has no model {self._model!r} or no such path."
            error = replace(error, kind="not_found", message=message)
        try:
            body = read_json(text)
        except NotJson:
            return ChatRequestError(error, status, text)
        # 429 also means that the account has no credit left; then waiting does not help.
        if find_error(body).get("code") == "insufficient_quota":
            error = replace(error, retryable=False, transient=False)
        return ChatRequestError(error, status, body)


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

    # This transport takes a quarter to a third less CPU per call than the default one with 20 calls in
    # flight, and less than half of it with 200, because the default one's pool is quadratic.
    transport = openai.DefaultAioHttpClient(
        follow_redirects=False, event_hooks={"response": [_raise_for_status]}
    )
    client = openai.AsyncOpenAI(
        api_key=endpoint.key or PLACEHOLDER_KEY,
        base_url=endpoint.url,
        max_retries=0,  # evalkit itself retries, within its own budget
        http_client=transport,
        default_headers=headers,
        organization=organization,
        project=project,
    )
    # The client imports many modules when a resource is first used: do that now, not during a call.
    _ = client.chat.completions
    return ChatClient(client, endpoint, model, secrets)
