"""Send a request to an HTTP agent, and turn its reply into an Output."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from urllib.parse import quote, urlsplit

import aiohttp
from yarl import URL

from evalkit.agents.http_arguments import HttpArguments
from evalkit.agents.http_headers import expand_variables, find_header_secrets, find_variables
from evalkit.agents.http_reply import HttpReply, ReplyReader
from evalkit.agents.http_session import HttpSessions
from evalkit.agents.network_errors import (
    choose_proxy,
    connection_error,
    timeout_error,
    too_large_error,
)
from evalkit.agents.placeholders import fill_body, fill_text, parse_template
from evalkit.agents.reply import bad_reply_error
from evalkit.agents.reply_body import BodyReader
from evalkit.agents.reply_text import ReplyTooLarge
from evalkit.agents.server_events import ServerEvent
from evalkit.agents.stream_reply import SHOWN_EVENT_CHARS, ends_stream
from evalkit.core.format import format_count
from evalkit.core.literals import Json
from evalkit.core.safe_text import one_line
from evalkit.core.trial import AgentError, Output, Request
from evalkit.trace.receiver import SpanCollector, TrialTrace
from evalkit.trace.warnings import SPANS_PARTIAL

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5


class _CallFailed(Exception):
    """The exchange fails with this error of the agent."""

    def __init__(self, error: AgentError) -> None:
        super().__init__(error.message)
        self.error = error


class HttpAgent:
    """Sends each request by one HTTP exchange, through one client session for all requests."""

    def __init__(
        self, arguments: HttpArguments, environ: Mapping[str, str], session: aiohttp.ClientSession
    ) -> None:
        self._arguments = arguments
        self._server = arguments.server
        self._session = session
        self._url = parse_template(_expand_url_template(arguments.url, environ))
        self._proxy = choose_proxy(urlsplit(expand_variables(arguments.url, environ)), environ)
        self._stream, _ = arguments.read_stream_argument()
        secrets = find_header_secrets(arguments.headers, environ)
        self._reader = ReplyReader(arguments, self._stream, secrets)
        kept, _ = arguments.read_session_argument()
        headers = {
            name: expand_variables(value, environ)
            for name, value in arguments.session_headers.items()
        }
        self._sessions = HttpSessions(kept, headers) if kept else None
        self._start_url = expand_variables(kept.start, environ) if kept and kept.start else None

    async def answer(self, request: Request, headers: Mapping[str, str] | None = None) -> Output:
        """Send the request once; the deadline applies to the whole exchange, redirects included.

        The latency does not include the call that starts a session.
        """
        reader = self._read_body()
        server = self._server
        try:
            async with asyncio.timeout(request.timeout_s):
                request = await self._start_session(request)
                reader = self._read_body()
                received = await self._exchange(request, headers, reader)
            return self._keep_session(self._reader.read(received), request, received)
        except _CallFailed as failed:
            error = failed.error
        except ReplyTooLarge:
            error = too_large_error(server)
        except aiohttp.ClientError as failure:
            known = connection_error(failure, server)
            if known is None:
                raise
            error = known
        # Last, because aiohttp's own timeout for connecting is a ClientError as well.
        except TimeoutError:
            error = _explain_open_stream(timeout_error(request.timeout_s, server), reader.events)
        return Output(error=error, latency_s=reader.elapsed_s)

    def _read_body(self) -> BodyReader:
        return BodyReader(time.monotonic(), partial(ends_stream, stream=self._stream))

    async def _start_session(self, request: Request) -> Request:
        """Return the request with the session that the server issues before the first turn, if it does."""
        if self._sessions is None or self._start_url is None or request.session is not None:
            return request
        received = await self._send("POST", URL(self._start_url), b"{}", {}, self._read_body())
        output = self._reader.read(received)
        # The reply needs no answer, so only its status counts.
        if output.error is not None and not 200 <= received.status < 300:
            raise _CallFailed(output.error)
        session = self._read_session(received, None)
        if session is None:
            raise _CallFailed(self._session_error())
        return replace(request, session=session)

    def _keep_session(self, output: Output, request: Request, received: HttpReply) -> Output:
        """Return the output with the session for the next turn; a conversation needs one."""
        if self._sessions is None or output.error is not None:
            return output
        session = self._read_session(received, request.session)
        if session is None and request.is_conversation:
            return replace(output, text="", error=self._session_error())
        return replace(output, session=session)

    def _read_session(self, received: HttpReply, known: Json) -> Json:
        assert self._sessions is not None  # noqa: S101 - both callers have checked
        return self._sessions.read(known, received)

    def _session_error(self) -> AgentError:
        assert self._sessions is not None  # noqa: S101
        message = f"the reply of {self._server} has {self._sessions.describe()}. Correct 'session'."
        return bad_reply_error(message)

    async def _exchange(
        self, request: Request, headers: Mapping[str, str] | None, reader: BodyReader
    ) -> HttpReply:
        url = URL(fill_text(self._url, request, _quote))
        body = self._arguments.body_template
        data = b"" if body is None else json.dumps(fill_body(body, request)).encode()
        own = self._sessions.build_headers(request) if self._sessions else {}
        return await self._send(
            self._arguments.method, url, data, {**(headers or {}), **own}, reader
        )

    async def _send(
        self, method: str, url: URL, data: bytes, headers: Mapping[str, str], reader: BodyReader
    ) -> HttpReply:
        for _ in range(MAX_REDIRECTS + 1):
            async with self._session.request(
                method,
                url,
                # BytesIO, because aiohttp warns about a long body as plain bytes.
                data=io.BytesIO(data) if data else None,
                headers=headers,
                allow_redirects=False,  # `_redirect_url` decides which ones are safe
                proxy=self._proxy,
            ) as response:
                if response.status not in REDIRECTS or "Location" not in response.headers:
                    body = await reader.read(
                        response.content.iter_any(),
                        response.content_type if "Content-Type" in response.headers else "",
                        response.charset or "",
                    )
                    return HttpReply(
                        status=response.status,
                        headers=response.headers,
                        cookies=tuple(response.cookies.values()),
                        body=body,
                    )
                url = self._redirect_url(response)
        raise _CallFailed(self._redirect_error(f"more than {MAX_REDIRECTS} times"))

    def _redirect_url(self, response: aiohttp.ClientResponse) -> URL:
        """Return the URL of a redirect, if the same request may be sent there.

        Headers may hold a key that is meant for this host only. After 301 to 303 a POST would have to
        become a GET (RFC 9110, 15.4), which has no body.
        """
        try:
            target = response.url.join(URL(response.headers["Location"]))
            origin = target.origin()
        except ValueError:
            raise _CallFailed(self._redirect_error("to something that is not a URL")) from None
        if origin != response.url.origin():
            raise _CallFailed(self._redirect_error(f"to another host, {str(origin)!r}"))
        if response.status not in (307, 308) and response.method != "GET":
            where = f"with status {response.status} to {target.path[:200]!r}, which drops the body"
            raise _CallFailed(self._redirect_error(where))
        return target

    def _redirect_error(self, where: str) -> AgentError:
        message = f"{self._server} redirects {where}. Write the final URL as 'url'."
        return AgentError(kind="redirect", message=message)


def _explain_open_stream(error: AgentError, events: Sequence[ServerEvent]) -> AgentError:
    """Say of a stream that was still open at the deadline what came last, and how to end it."""
    if not events:
        return error
    last = one_line(events[-1].data or events[-1].name, SHOWN_EVENT_CHARS)
    message = (
        f"{error.message} Its stream sent {format_count(len(events), 'event')} and did not end; the last "
        f"was {last}. If an event is the end, name it: stream: {{delta: PATH, end: TEXT}}."
    )
    return replace(error, message=message)


def _expand_url_template(url: str, environ: Mapping[str, str]) -> str:
    """Expand environment variables so that braces in their values are not placeholders."""
    values = {name: environ.get(name, "") for name in find_variables([url])}
    escaped = {name: value.replace("{", "{{").replace("}", "}}") for name, value in values.items()}
    return expand_variables(url, escaped)


def _quote(text: str) -> str:
    # `safe=""` quotes slashes as well, so that a value stays one segment of the path.
    return quote(text, safe="", errors="surrogatepass")


SPAN_WAIT_S = 6.0
"""How long to wait for the spans of an answer: exporters send every 5 s by default (OpenTelemetry,
OTEL_BSP_SCHEDULE_DELAY)."""

MAX_ANSWERS_WITHOUT_SPANS = 3
"""After this many answers without any span, later answers do not wait for spans."""


class TracedHttpAgent:
    """Sends a traceparent with every request, and waits after the answer for the spans of its trace."""

    def __init__(self, agent: HttpAgent, collector: SpanCollector) -> None:
        self._agent = agent
        self._collector = collector
        self._answers_without_spans = 0

    async def answer(self, request: Request) -> Output:
        """Send the request once; the latency does not include the wait for spans."""
        with self._collector.open_trace() as trace:
            output = await self._agent.answer(request, {"traceparent": trace.traceparent})
            if output.error is not None and output.error.transient:
                return output  # the request was not served, and will be repeated
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
