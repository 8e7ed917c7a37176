"""A chat endpoint reached through the openai client: bodies in, bytes out, trouble as an error of its kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from evalkit.agents.network_errors import (
    CONNECT_TIMEOUT_S,
    connection_error,
    get_host,
    is_loopback,
    iter_causes,
    split_url,
    status_error,
    timeout_error,
    too_large_error,
)
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
"""What the client sends, since it must send something, to a server on this machine."""

MISSING_TRANSPORT_MESSAGE = (
    "the client has no aiohttp transport. Run: pip install 'openai[aiohttp]'"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """Where a model is, and the key to it.

    `key_name` is the environment variable that holds the key; it has to be there if it `is_named`, or
    the endpoint is not on this machine.
    """

    url: str
    key_variable: str
    key: str
    is_key_named: bool

    @classmethod
    def resolve(
        cls, base_url: str | None, api_key_env: str | None, environ: Mapping[str, str]
    ) -> Endpoint:
        """The endpoint that a set names, or the usual one."""
        key_name = api_key_env or DEFAULT_KEY_VARIABLE
        return cls(
            url=base_url or environ.get("OPENAI_BASE_URL") or OPENAI_URL,
            key_variable=key_name,
            key=environ.get(key_name, ""),
            is_key_named=bool(api_key_env),
        )

    @property
    def server(self) -> str:
        """Host and port, for messages."""
        return get_host(self.url)

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        url = split_url(self.url)
        return url is not None and is_loopback(url.hostname)

    def find_problems(self) -> Iterator[str]:
        """A message for what would keep anybody from being asked."""
        url = split_url(self.url)
        if url is None or not url.netloc.isascii():
            yield "'base_url' is no HTTP address. Write base_url: https://host/v1"
        elif "@" in url.netloc:
            yield (
                "'base_url' may not hold a user or a password: it is stored with the set. Name the "
                "variable that holds the key with 'api_key_env', or add a header by ${NAME}."
            )
        elif not self.key and (self.is_key_named or not self.is_local):
            yield (
                f"environment variable {self.key_variable!r}, which holds the key, is not set. "
                f"Set it, or name another one with 'api_key_env'."
            )


class HttpStatusError(Exception):
    """A reply whose status is not one of success."""

    def __init__(self, status: int, retry_after: str | None, body: bytes) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.retry_after = retry_after
        self.body = body


class ChatRequestError(Exception):
    """No reply of success could be had; `status` and `body` are those of the one that came, if one did."""

    def __init__(self, error: AgentError, status: int = 0, body: Json = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.status = status
        self.body = body


class _HttpResponse(Protocol):
    status_code: int
    headers: Mapping[str, str]

    @property
    def is_success(self) -> bool: ...

    def aiter_bytes(self) -> AsyncIterator[bytes]: ...


async def _raise_for_status(response: _HttpResponse) -> None:
    # Left to itself the client reads the body of an error without a cap, and with httpx 0.28 leaves the
    # connection open when the deadline cuts that short. A hook that raises closes it.
    if not response.is_success:
        body = await read_capped(response.aiter_bytes())
        raise HttpStatusError(response.status_code, response.headers.get("retry-after"), body)


class ChatClient:
    """One client for a whole run; it asks once for every post, and follows no redirect.

    `secrets` are blanked out of what comes back.
    """

    def __init__(
        self, client: AsyncOpenAI, endpoint: Endpoint, model: str, secrets: Sequence[str]
    ) -> None:
        self._client = client
        self._endpoint = endpoint
        self._model = model
        self._secrets = [secret for secret in (endpoint.key, *secrets) if secret]

    async def close(self) -> None:
        """Let go of all connections."""
        await self._client.close()

    async def post(
        self, messages: Sequence[Mapping[str, str]], body: Mapping[str, Json], timeout_s: float
    ) -> tuple[bytes, tuple[str, ...]]:
        """Ask for a completion; gives the reply's bytes and the flags of what was done to them.

        Raises:
            Trouble: none came, to its last byte, before the deadline.
        """
        server = self._endpoint.server
        try:
            async with asyncio.timeout(timeout_s):
                received = await self._send(messages, body)
        except TimeoutError:
            raise ChatRequestError(timeout_error(timeout_s, server)) from None
        except UnicodeEncodeError:
            message = (
                "the conversation holds half a character (a lone surrogate), which UTF-8 cannot."
            )
            raise ChatRequestError(AgentError(kind="bad_request", message=message)) from None
        except Exception as trouble:
            # Which of the exceptions of openai, httpx, httpx2 and aiohttp comes through depends on
            # the client's version and on how far the reply had come.
            raise self._to_chat_error(trouble) from trouble
        return redact(received, self._secrets)

    async def _send(self, messages: Sequence[Mapping[str, str]], body: Mapping[str, Json]) -> bytes:
        import openai  # noqa: PLC0415 - loaded by `connect`

        # The body as it came: the client takes HTML for text, checks no types, and lets
        # JSONDecodeError through. What goes in as `extra_body` it leaves alone; messages it would walk
        # through, which takes as long as all the rest of a call.
        async with self._client.chat.completions.with_streaming_response.create(
            model=self._model,
            messages=(),
            extra_body={"messages": messages, **body},
            timeout=openai.Timeout(None, connect=CONNECT_TIMEOUT_S),
        ) as response:
            return await read_capped(response.iter_bytes())

    def _to_chat_error(self, trouble: Exception) -> Exception:
        """The trouble by its right name; an exception that is none of the network's stays what it is."""
        for cause in iter_causes(trouble):
            match cause:
                case HttpStatusError():
                    return self._to_status_error(cause)
                case ReplyTooLarge():
                    return ChatRequestError(too_large_error(self._endpoint.server))
        error = connection_error(trouble, self._endpoint.server)
        return ChatRequestError(error) if error is not None else trouble

    def _to_status_error(self, refused: HttpStatusError) -> ChatRequestError:
        status, server = refused.status, self._endpoint.server
        body, _ = redact(refused.body, self._secrets)
        text = decode_text(body)[0]
        error = status_error(status, refused.retry_after, server, text)
        if 300 <= status < 400:
            message = f"{server} redirects. Write the final address as 'base_url'."
            error = replace(error, kind="redirect", message=message)
        elif status in (401, 403):
            message = f"{server} refused the key in {self._endpoint.key_variable} (HTTP {status})."
            error = replace(error, kind="auth", message=message)
        elif status == 404:
            message = f"{server} knows no model {self._model!r} or no such path."
            error = replace(error, kind="not_found", message=message)
        try:
            said = read_json(text)
        except NotJson:
            return ChatRequestError(error, status, text)
        # An empty account is told by the status of too many requests, but waiting does not fill it.
        if find_error(said).get("code") == "insufficient_quota":
            error = replace(error, retryable=False)
        return ChatRequestError(error, status, said)


def find_error(body: Json) -> Mapping[str, Any]:
    """What the usual place in a reply says of an error; empty when it says nothing."""
    error = body.get("error") if isinstance(body, Mapping) else None
    return error if isinstance(error, Mapping) else {}


def connect(  # noqa: PLR0913 - each is a header of every request
    endpoint: Endpoint,
    model: str,
    *,
    headers: Mapping[str, str] | None = None,
    secrets: Sequence[str] = (),
    organization: str | None = None,
    project: str | None = None,
) -> ChatClient:
    """Load the client, which takes a second and may be done in a thread, and get one ready.

    Raises:
        RuntimeError: it was installed without its aiohttp transport.
    """
    import openai  # noqa: PLC0415 - takes a second, which checking a set does not need

    # A quarter to a third less CPU per call than the default transport at 20 calls in flight, and less
    # than half of it at 200, where the default one's pool is quadratic.
    transport = openai.DefaultAioHttpClient(
        follow_redirects=False, event_hooks={"response": [_raise_for_status]}
    )
    client = openai.AsyncOpenAI(
        api_key=endpoint.key or PLACEHOLDER_KEY,
        base_url=endpoint.url,
        max_retries=0,  # evalkit retries, within its own budget
        http_client=transport,
        default_headers=headers,
        organization=organization,
        project=project,
    )
    # The client imports half of itself when a resource is first touched: not in the first call.
    _ = client.chat.completions
    return ChatClient(client, endpoint, model, secrets)
