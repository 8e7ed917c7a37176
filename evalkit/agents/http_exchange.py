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

from evalkit.agents.http_message import ReplyPaths, fill_body
from evalkit.agents.network_errors import (
    connection_error,
    status_error,
    timeout_error,
    too_large_error,
)
from evalkit.agents.placeholders import Template, fill_text
from evalkit.agents.reply_text import (
    NotJson,
    ReplyTooLarge,
    decode_text,
    read_capped,
    read_json,
    redact,
)
from evalkit.core.limits import MAX_DETAIL_CHARS
from evalkit.core.literals import Json
from evalkit.core.safe_text import head
from evalkit.core.trial import AgentError, Output, Request
from evalkit.trace.receiver import SpanCollector, TrialTrace
from evalkit.trace.warnings import SPANS_PARTIAL

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpTarget:
    """What every exchange with an agent has in common, variables looked up.

    `server` is what the agent's host is called in messages. `body` None sends none. With `paths` None
    the whole reply is plain text. `secrets` are blanked out in what comes back.
    """

    server: str
    method: str
    url: Template
    body: Json
    reply_paths: ReplyPaths | None
    proxy: str | None
    secrets: Sequence[str]


class _CallFailed(Exception):
    """The exchange ends with an error of the agent that is known already."""

    def __init__(self, error: AgentError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(frozen=True, kw_only=True, slots=True)
class _HttpReply:
    status: int
    retry_after: str | None
    charset: str
    body: bytes


class HttpAgent:
    """Sends each request by one HTTP exchange, on a session that all share."""

    def __init__(self, common: HttpTarget, session: aiohttp.ClientSession) -> None:
        self._target = common
        self._session = session

    async def answer(self, request: Request, headers: Mapping[str, str] | None = None) -> Output:
        """Ask once; the deadline holds for the exchange as a whole, redirects included."""
        started = time.monotonic()
        server = self._target.server
        try:
            async with asyncio.timeout(request.timeout_s):
                received = await self._send(request, headers)
            return self._to_output(received, time.monotonic() - started)
        except _CallFailed as refused:
            error = refused.error
        except ReplyTooLarge:
            error = too_large_error(server)
        except aiohttp.ClientError as trouble:
            known = connection_error(trouble, server)
            if known is None:
                raise
            error = known
        except TimeoutError:  # aiohttp's own for connecting is a ClientError as well
            error = timeout_error(request.timeout_s, server)
        return Output(error=error, latency_s=time.monotonic() - started)

    async def _send(self, request: Request, headers: Mapping[str, str] | None) -> _HttpReply:
        url = URL(fill_text(self._target.url, request, _quote))
        body = self._target.body
        data = b"" if body is None else json.dumps(fill_body(body, request)).encode()
        for _ in range(MAX_REDIRECTS + 1):
            async with self._session.request(
                self._target.method,
                url,
                # A long body as plain bytes makes aiohttp warn.
                data=io.BytesIO(data) if data else None,
                headers=headers,
                allow_redirects=False,
                proxy=self._target.proxy,
            ) as response:
                if response.status not in REDIRECTS or "Location" not in response.headers:
                    return _HttpReply(
                        status=response.status,
                        retry_after=response.headers.get("Retry-After"),
                        charset=response.charset or "utf-8",
                        body=await read_capped(response.content.iter_any()),
                    )
                url = self._redirect_url(response)
        raise _CallFailed(self._redirect_error(f"more than {MAX_REDIRECTS} times"))

    def _redirect_url(self, response: aiohttp.ClientResponse) -> URL:
        """Where a redirect leads, if the same question may be put there.

        Headers may hold a key that is meant for this host only; and after 301 to 303 a POST would
        have to become a GET (RFC 9110, 15.4), which asks nothing.
        """
        try:
            target = response.url.join(URL(response.headers["Location"]))
            origin = target.origin()
        except ValueError:
            raise _CallFailed(self._redirect_error("to no HTTP address")) from None
        if origin != response.url.origin():
            raise _CallFailed(self._redirect_error(f"to another host, {str(origin)!r}"))
        if response.status not in (307, 308) and response.method != "GET":
            path = target.path[:200]
            raise _CallFailed(
                self._redirect_error(
                    f"with status {response.status} to {path!r}, which drops the body"
                )
            )
        return target

    def _redirect_error(self, where: str) -> AgentError:
        message = f"{self._target.server} redirects {where}. Write the final address as 'url'."
        return AgentError(kind="redirect", message=message)

    def _to_output(self, received: _HttpReply, latency_s: float) -> Output:
        body, redacted = redact(received.body, self._target.secrets)
        text, decoded = decode_text(body, received.charset)
        if not 200 <= received.status < 300:
            raise _CallFailed(
                status_error(received.status, received.retry_after, self._target.server, text)
            )
        if self._target.reply_paths is None:
            output = Output(text=text, latency_s=latency_s)
        else:
            output = self._parse_json(text, self._target.reply_paths, latency_s)
        return replace(output, flags=(*output.flags, *redacted, *decoded))

    def _parse_json(self, text: str, paths: ReplyPaths, latency_s: float) -> Output:
        try:
            reply = read_json(text)
        except NotJson as wrong:
            raise _CallFailed(
                AgentError(
                    kind="bad_reply",
                    message=f"{self._target.server} sent {wrong}. If the answer is plain text, "
                    f"set text: true.",
                    detail=head(text, MAX_DETAIL_CHARS),
                )
            ) from None
        return paths.parse_reply(reply, latency_s)


def _quote(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


SPAN_WAIT_S = 6.0
"""How long an answer's spans may be under way: exporters send every 5 s unless told otherwise
(OpenTelemetry, OTEL_BSP_SCHEDULE_DELAY)."""

MAX_ANSWERS_WITHOUT_SPANS = 3
"""Answers without any span, and none before them, after which no answer waits any more."""


class TracedHttpAgent:
    """Gives every request a traceparent, and waits after the answer for the spans that bear it."""

    def __init__(self, agent: HttpAgent, collector: SpanCollector) -> None:
        self._agent = agent
        self._collector = collector
        self._answers_without_spans = 0

    async def answer(self, request: Request) -> Output:
        """Ask once; waiting for spans counts in no latency."""
        with self._collector.open_trace() as trace:
            output = await self._agent.answer(request, {"traceparent": trace.traceparent})
            if output.error is not None and output.error.retryable:
                return output  # it did not get there, or will be asked again
            in_time = await self._wait_for_spans(trace)
            output = trace.add_to_output(output)
            return output if in_time else replace(output, flags=(*output.flags, SPANS_PARTIAL))

    async def _wait_for_spans(self, trace: TrialTrace) -> bool:
        if (
            not self._collector.has_received
            and self._answers_without_spans >= MAX_ANSWERS_WITHOUT_SPANS
        ):
            return trace.is_complete
        try:
            async with asyncio.timeout(SPAN_WAIT_S):
                while not trace.is_complete:
                    trace.arrived.clear()
                    await trace.arrived.wait()
        except TimeoutError:
            self._answers_without_spans += 1
        return trace.is_complete
