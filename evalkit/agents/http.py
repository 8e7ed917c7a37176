"""The agent kind `http`: each request is one HTTP exchange, and the reply's body has the answer."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict

from evalkit import __version__
from evalkit.agents.arguments import raise_problems, read_arguments, to_problem
from evalkit.agents.http_exchange import (
    REPLY_PARTS,
    HttpAgent,
    HttpTarget,
    ReplyPaths,
    TracedHttpAgent,
)
from evalkit.agents.http_headers import (
    expand_variables,
    find_header_problems,
    find_header_secrets,
    find_unset_variables,
    find_variables,
    strip_variables,
)
from evalkit.agents.network_errors import CONNECT_TIMEOUT_S, choose_proxy, get_host, split_url
from evalkit.agents.placeholders import find_template_problems, iter_texts, parse_template
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec, Case
from evalkit.core.literals import Json
from evalkit.core.location import Problem
from evalkit.core.run import RunEnvironment
from evalkit.trace.receiver import SpanReceiver, open_receiver

DEFAULT_BODY = {"input": "{input}", "messages": "{messages}"}
USER_AGENT = f"evalkit/{__version__}"


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
        """The body's template: the default one, except that GET has none."""
        return DEFAULT_BODY if self.body is None and self.method != "GET" else self.body

    @property
    def reply_paths(self) -> ReplyPaths | None:
        """The paths of the parts of the reply; None when the reply is plain text."""
        if self.text:
            return None
        return ReplyPaths(**{name: getattr(self, name) for name in REPLY_PARTS})

    @property
    def display_url(self) -> str:
        """The URL for messages: without user, password and variables."""
        return strip_variables(re.sub(r"//[^/]*@", "//", self.url))

    @property
    def server(self) -> str:
        """The host, for messages: without user and password, variables not expanded."""
        return get_host(self.url)


def check(spec: AgentSpec, cases: Sequence[Case], environment: RunEnvironment) -> Iterator[Problem]:
    """Yield wrong arguments, unset variables, and cases that lack a value for URL or body."""
    arguments, environ = _read(spec), environment.environ
    for message in (
        *find_unset_variables([arguments.url, *arguments.headers.values()], environ),
        *_find_url_problems(arguments, environ),
        *find_header_problems(arguments.headers, environ),
        *_find_contradictions(arguments),
    ):
        yield to_problem(spec, message)
    yield from find_template_problems([arguments.display_url], "url", spec, cases)
    yield from find_template_problems(iter_texts(arguments.body_template), "body", spec, cases)


def _read(spec: AgentSpec) -> HttpArguments:
    return read_arguments(spec, HttpArguments, shorthand="url")


def _find_url_problems(arguments: HttpArguments, environ: Mapping[str, str]) -> Iterator[str]:
    if any(name not in environ for name in find_variables([arguments.url])):
        return
    # The message shows the host only, because a URL may hold a password.
    if split_url(expand_variables(arguments.url, environ)) is None:
        yield f"{arguments.server!r} is not an HTTP URL. Write url: https://host/path"
    elif "{" in strip_variables(arguments.server):
        yield f"{arguments.server!r}: the host may not have a placeholder. Move it to the path."


def _find_contradictions(arguments: HttpArguments) -> Iterator[str]:
    given = [name for name in REPLY_PARTS if getattr(arguments, name) is not None]
    if arguments.text and given:
        yield f"'text: true' and {given[0]!r}, a path into JSON, exclude each other. Remove one."
    elif given and arguments.output is None:
        yield f"{given[0]!r} needs 'output' as well: the path of the answer in the reply."
    if arguments.otlp_port is not None and not 0 < arguments.otlp_port < 65_536:
        yield f"'otlp_port' is {arguments.otlp_port}. Give the port that the agent sends its spans to."
    templates = [arguments.display_url, *iter_texts(arguments.body_template)]
    if not any("{" in text for text in templates):
        yield "nothing of a case would be sent. Put '{input}' into 'body' or 'url'."


def _expand_url_template(url: str, environ: Mapping[str, str]) -> str:
    """Expand environment variables so that braces in their values are not placeholders."""
    values = {name: environ.get(name, "") for name in find_variables([url])}
    escaped = {name: value.replace("{", "{{").replace("}", "}}") for name, value in values.items()}
    return expand_variables(url, escaped)


def entrypoint(spec: AgentSpec) -> str:
    """Return method and URL, without user, password, query and values of variables."""
    arguments = _read(spec)
    url = re.sub(r"//[^/]*@", "//", arguments.url.partition("?")[0])
    return f"{arguments.method} {url}"


@asynccontextmanager
async def open(  # noqa: A001 - a function of AgentKind
    spec: AgentSpec, environment: RunEnvironment
) -> AsyncIterator[HttpAgent | TracedHttpAgent]:
    """Yield the agent with one session for the whole run.

    Raises:
        InvalidInput: `check` finds a problem, or `otlp_port` is in use.
    """
    raise_problems(check(spec, (), environment))
    arguments = _read(spec)
    headers = CIMultiDict({"User-Agent": USER_AGENT, "Content-Type": "application/json"})
    for name, value in arguments.headers.items():
        headers[name] = expand_variables(value, environment.environ)
    async with aiohttp.ClientSession(
        headers=headers,
        connector=aiohttp.TCPConnector(limit=0),  # the scheduler limits the calls in flight
        cookie_jar=aiohttp.DummyCookieJar(),  # trials are independent
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S),
    ) as session:
        agent = HttpAgent(_build_target(arguments, environment.environ), session)
        if arguments.otlp_port is None:
            yield agent
            return
        async with _open_receiver(arguments.otlp_port, spec) as receiver:
            yield TracedHttpAgent(agent, receiver.collector)


@asynccontextmanager
async def _open_receiver(port: int, spec: AgentSpec) -> AsyncIterator[SpanReceiver]:
    async with AsyncExitStack() as stack:
        try:
            receiver = await stack.enter_async_context(open_receiver(port))
        except OSError as error:
            raise InvalidInput.single(
                f"http: evalkit cannot listen on 'otlp_port' {port}: {error.strerror}. "
                f"Stop the program that uses it, or choose another port for evalkit and the agent.",
                spec.where,
            ) from error
        yield receiver


def _build_target(arguments: HttpArguments, environ: Mapping[str, str]) -> HttpTarget:
    return HttpTarget(
        server=arguments.server,
        method=arguments.method,
        url=parse_template(_expand_url_template(arguments.url, environ)),
        body=arguments.body_template,
        reply_paths=arguments.reply_paths,
        proxy=choose_proxy(urlsplit(expand_variables(arguments.url, environ)), environ),
        secrets=find_header_secrets(arguments.headers, environ),
    )
