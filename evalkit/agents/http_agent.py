"""One HTTP exchange with an agent: a request into what is sent, what comes back into an Output."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

import aiohttp
from yarl import URL

from evalkit.agents.bodies import ReplyPaths, fill_body
from evalkit.agents.network import connection_error, status_error, timeout_error, too_large_error
from evalkit.agents.received import NotJson, TooLarge, decode_text, read_capped, read_json, redact
from evalkit.agents.templates import Template, fill_text
from evalkit.caps import MAX_DETAIL
from evalkit.records import AgentError, Json, Output, Request
from evalkit.text import head

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """What every exchange with an agent has in common, variables looked up.

    `server` is what the agent's host is called in messages. `body` None sends none. With `paths` None
    the whole reply is plain text. `secrets` are blanked out in what comes back.
    """

    server: str
    method: str
    url: Template
    body: Json
    paths: ReplyPaths | None
    proxy: str | None
    secrets: Sequence[str]


class _Refused(Exception):
    """The exchange ends with an error of the agent that is known already."""

    def __init__(self, error: AgentError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(frozen=True, kw_only=True, slots=True)
class _Received:
    status: int
    retry_after: str | None
    charset: str
    body: bytes


class HttpAgent:
    """Sends each request by one HTTP exchange, on a session that all share."""

    def __init__(self, common: Exchange, session: aiohttp.ClientSession) -> None:
        self._common = common
        self._session = session

    async def answer(self, request: Request, headers: Mapping[str, str] | None = None) -> Output:
        """Ask once; the deadline holds for the exchange as a whole, redirects included."""
        started = time.monotonic()
        server = self._common.server
        try:
            async with asyncio.timeout(request.timeout_s):
                received = await self._exchange(request, headers)
            return self._read(received, time.monotonic() - started)
        except _Refused as refused:
            error = refused.error
        except TooLarge:
            error = too_large_error(server)
        except aiohttp.ClientError as trouble:
            known = connection_error(trouble, server)
            if known is None:
                raise
            error = known
        except TimeoutError:  # aiohttp's own for connecting is a ClientError as well
            error = timeout_error(request.timeout_s, server)
        return Output(error=error, latency_s=time.monotonic() - started)

    async def _exchange(self, request: Request, headers: Mapping[str, str] | None) -> _Received:
        url = URL(fill_text(self._common.url, request, _quote))
        body = self._common.body
        data = b"" if body is None else json.dumps(fill_body(body, request)).encode()
        for _ in range(MAX_REDIRECTS + 1):
            async with self._session.request(
                self._common.method,
                url,
                # A long body as plain bytes makes aiohttp warn.
                data=io.BytesIO(data) if data else None,
                headers=headers,
                allow_redirects=False,
                proxy=self._common.proxy,
            ) as response:
                if response.status not in REDIRECTS or "Location" not in response.headers:
                    return _Received(
                        status=response.status,
                        retry_after=response.headers.get("Retry-After"),
                        charset=response.charset or "utf-8",
                        body=await read_capped(response.content.iter_any()),
                    )
                url = self._follow(response)
        raise _Refused(self._redirect_error(f"more than {MAX_REDIRECTS} times"))

    def _follow(self, response: aiohttp.ClientResponse) -> URL:
        """Where a redirect leads, if the same question may be put there.

        Headers may hold a key that is meant for this host only; and after 301 to 303 a POST would
        have to become a GET (RFC 9110, 15.4), which asks nothing.
        """
        try:
            target = response.url.join(URL(response.headers["Location"]))
            origin = target.origin()
        except ValueError:
            raise _Refused(self._redirect_error("to no HTTP address")) from None
        if origin != response.url.origin():
            raise _Refused(self._redirect_error(f"to another host, {str(origin)!r}"))
        if response.status not in (307, 308) and response.method != "GET":
            path = target.path[:200]
            raise _Refused(
                self._redirect_error(
                    f"with status {response.status} to {path!r}, which drops the body"
                )
            )
        return target

    def _redirect_error(self, where: str) -> AgentError:
        message = f"{self._common.server} redirects {where}. Write the final address as 'url'."
        return AgentError(kind="redirect", message=message)

    def _read(self, received: _Received, latency_s: float) -> Output:
        body, redacted = redact(received.body, self._common.secrets)
        text, decoded = decode_text(body, received.charset)
        if not 200 <= received.status < 300:
            raise _Refused(
                status_error(received.status, received.retry_after, self._common.server, text)
            )
        if self._common.paths is None:
            output = Output(text=text, latency_s=latency_s)
        else:
            output = self._read_json(text, self._common.paths, latency_s)
        return replace(output, flags=(*output.flags, *redacted, *decoded))

    def _read_json(self, text: str, paths: ReplyPaths, latency_s: float) -> Output:
        try:
            reply = read_json(text)
        except NotJson as wrong:
            raise _Refused(
                AgentError(
                    kind="bad_reply",
                    message=f"{self._common.server} sent {wrong}. If the answer is plain text, "
                    f"set text: true.",
                    detail=head(text, MAX_DETAIL),
                )
            ) from None
        return paths.read(reply, latency_s)


def _quote(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")
