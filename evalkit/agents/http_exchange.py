"""Send a request to an HTTP agent, and turn its reply into an Output."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import quote, urlsplit

import aiohttp
from yarl import URL

from evalkit.agents.completion import parse_tool_calls, parse_usage
from evalkit.agents.http_headers import expand_variables, find_header_secrets, find_variables
from evalkit.agents.network_errors import (
    choose_proxy,
    connection_error,
    get_host,
    status_error,
    timeout_error,
    too_large_error,
)
from evalkit.agents.placeholders import fill_body, fill_text, get_at_path, parse_template
from evalkit.agents.reply import bad_reply_error, to_output
from evalkit.agents.reply_text import (
    NotJson,
    ReplyTooLarge,
    decode_text,
    read_capped,
    read_json,
    redact,
)
from evalkit.core.literals import Json
from evalkit.core.trial import AgentError, Output, Request
from evalkit.trace.receiver import SpanCollector, TrialTrace
from evalkit.trace.warnings import SPANS_PARTIAL

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5

REPLY_PARTS = ("output", "data", "tool_calls", "usage", "cost_usd")
DEFAULT_BODY = {"input": "{input}", "messages": "{messages}"}


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpArguments:
    """The arguments under `http:`; a URL in their place is `url`.

    `${NAME}` in `url` and `headers` is an environment variable. `url`, after the host, and the texts
    of `body` may have placeholders. `output` and the fields after it are dotted paths into the JSON
    reply; with `text` the whole body is the answer. `otlp_port` is the loopback port to which the
    agent's OpenTelemetry exporter sends its spans; each answer waits for its spans.
    """

    url: str
    method: Literal["POST", "GET", "PUT", "PATCH"] = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Json = None
    text: bool = False
    output: str | None = None
    data: str | None = None
    tool_calls: str | None = None
    usage: str | None = None
    cost_usd: str | None = None
    otlp_port: int | None = None

    @property
    def body_template(self) -> Json:
        """The template of the body; without `body`, the default template, or None for GET."""
        return DEFAULT_BODY if self.body is None and self.method != "GET" else self.body

    @property
    def server(self) -> str:
        """The host, for messages: without user and password, variables not expanded."""
        return get_host(self.url)

    def extract(self, reply: Json) -> Json:
        """Return the parts at the paths as the mapping that any agent may return.

        Without `output` the whole reply is returned. With it, `output` must lead to a value. The last
        name of any other path may be missing, because servers omit empty values; the value that should
        contain it must exist.

        Raises:
            LookupError: a path has no value; the text is the path up to the missing part.
        """
        if self.output is None:
            return reply
        answer = get_at_path(reply, self.output)
        if answer is None:
            raise LookupError(self.output)
        is_text = isinstance(answer, str)
        parts = {
            "output": answer if is_text else json.dumps(answer),
            "data": None if is_text else answer,
        }
        for name in REPLY_PARTS[1:]:
            path = getattr(self, name)
            if path is not None:
                parts[name] = _get_optional(reply, path)
        parts["tool_calls"] = parse_tool_calls(parts.get("tool_calls"))
        parts["usage"] = parse_usage(parts.get("usage"))
        return parts


def _get_optional(reply: Json, path: str) -> Json:
    parent, _, name = path.rpartition(".")
    container = get_at_path(reply, parent) if parent else reply
    try:
        return get_at_path(container, name)
    except LookupError:
        return None


class _CallFailed(Exception):
    """The exchange fails with this error of the agent."""

    def __init__(self, error: AgentError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(frozen=True, kw_only=True, slots=True)
class _HttpReply:
    status: int
    headers: Mapping[str, str]
    charset: str
    body: bytes


class HttpAgent:
    """Sends each request by one HTTP exchange, in one session for all requests."""

    def __init__(
        self, arguments: HttpArguments, environ: Mapping[str, str], session: aiohttp.ClientSession
    ) -> None:
        self._arguments = arguments
        self._server = arguments.server
        self._session = session
        self._url = parse_template(_expand_url_template(arguments.url, environ))
        self._proxy = choose_proxy(urlsplit(expand_variables(arguments.url, environ)), environ)
        self._secrets = find_header_secrets(arguments.headers, environ)

    async def answer(self, request: Request, headers: Mapping[str, str] | None = None) -> Output:
        """Send the request once; the deadline applies to the whole exchange, redirects included."""
        started = time.monotonic()
        server = self._server
        try:
            async with asyncio.timeout(request.timeout_s):
                received = await self._send(request, headers)
            return self._to_output(received, time.monotonic() - started)
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
            error = timeout_error(request.timeout_s, server)
        return Output(error=error, latency_s=time.monotonic() - started)

    async def _send(self, request: Request, headers: Mapping[str, str] | None) -> _HttpReply:
        url = URL(fill_text(self._url, request, _quote))
        body = self._arguments.body_template
        data = b"" if body is None else json.dumps(fill_body(body, request)).encode()
        for _ in range(MAX_REDIRECTS + 1):
            async with self._session.request(
                self._arguments.method,
                url,
                # BytesIO, because aiohttp warns about a long body as plain bytes.
                data=io.BytesIO(data) if data else None,
                headers=headers,
                allow_redirects=False,  # `_redirect_url` decides which ones are safe
                proxy=self._proxy,
            ) as response:
                if response.status not in REDIRECTS or "Location" not in response.headers:
                    return _HttpReply(
                        status=response.status,
                        headers=response.headers,
                        charset=response.charset or "utf-8",
                        body=await read_capped(response.content.iter_any()),
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

    def _to_output(self, received: _HttpReply, latency_s: float) -> Output:
        body, redacted = redact(received.body, self._secrets)
        text, decoded = decode_text(body, received.charset)
        if not 200 <= received.status < 300:
            raise _CallFailed(status_error(received.status, received.headers, self._server, text))
        if self._arguments.text:
            output = Output(text=text, latency_s=latency_s)
        else:
            output = self._parse_json(text, latency_s)
        return replace(output, flags=(*output.flags, *redacted, *decoded))

    def _parse_json(self, text: str, latency_s: float) -> Output:
        try:
            return to_output(self._arguments.extract(read_json(text)), latency_s)
        except NotJson as wrong:
            message = f"{self._server} sent {wrong}. If the answer is plain text, set text: true."
            raise _CallFailed(bad_reply_error(message, text)) from None
        except LookupError as missing:
            path = str(missing.args[0])
            message = f"the reply has no value at {path!r}. Fix the path or the agent."
            return Output(error=bad_reply_error(message, text), latency_s=latency_s)


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
