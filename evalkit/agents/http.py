"""The agent kind `http`: each request is one HTTP exchange, and the body of the reply contains the answer."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
from multidict import CIMultiDict

from evalkit import __version__
from evalkit.agents.arguments import raise_problems, read_arguments, to_problem
from evalkit.agents.http_arguments import SESSION_PLACEHOLDER, HttpArguments, SessionArguments
from evalkit.agents.http_exchange import HttpAgent, TracedHttpAgent
from evalkit.agents.http_headers import (
    expand_variables,
    find_header_problems,
    find_header_secrets,
    find_unset_variables,
    find_variables,
    strip_variables,
)
from evalkit.agents.network_errors import CONNECT_TIMEOUT_S, split_url
from evalkit.agents.placeholders import find_template_problems
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec, Case
from evalkit.core.location import Problem
from evalkit.core.run import RunEnvironment
from evalkit.core.values import iter_texts
from evalkit.trace.receiver import open_receiver

USER_AGENT = f"evalkit/{__version__}"


def check(spec: AgentSpec, cases: Sequence[Case], environment: RunEnvironment) -> Iterator[Problem]:
    """Yield wrong arguments, unset variables, and cases that lack a value for URL or body."""
    arguments, environ = _read(spec), environment.environ
    for message in (
        *find_unset_variables(_list_texts_with_variables(arguments), environ),
        *_find_url_problems(arguments, environ),
        *find_header_problems(arguments.headers, environ),
        *_find_contradictions(arguments),
        *_find_session_problems(arguments, environ),
    ):
        yield to_problem(spec, message)
    yield from find_template_problems([_strip_secrets(arguments.url)], "url", spec, cases)
    yield from find_template_problems(iter_texts(arguments.body_template), "body", spec, cases)


def _read(spec: AgentSpec) -> HttpArguments:
    return read_arguments(spec, HttpArguments, shorthand="url")


def _strip_secrets(url: str) -> str:
    """Return a URL for messages: without user, password and variables."""
    return strip_variables(re.sub(r"//[^/]*@", "//", url))


def _find_url_problems(arguments: HttpArguments, environ: Mapping[str, str]) -> Iterator[str]:
    # `find_unset_variables` reports these; the URL cannot be checked without them.
    if any(name not in environ for name in find_variables([arguments.url])):
        return
    # The message only shows the host, because a URL may contain a password.
    if split_url(expand_variables(arguments.url, environ)) is None:
        yield f"{arguments.server!r} is not an HTTP URL. Write url: https://host/path"
    elif "{" in strip_variables(arguments.server):
        yield f"{arguments.server!r}: the host may not have a placeholder. Move it to the path."


def _find_contradictions(arguments: HttpArguments) -> Iterator[str]:
    given = list(arguments.paths)
    _, stream_problems = arguments.read_stream_argument()
    yield from stream_problems
    if arguments.text and given:
        yield f"'text: true' and {given[0]!r} (a path into JSON) exclude each other. Remove one."
    elif given and arguments.output is None and arguments.stream is None:
        yield f"{given[0]!r} needs 'output' as well: the path of the answer in the reply."
    if arguments.otlp_port is not None and not 0 < arguments.otlp_port < 65_536:
        yield f"'otlp_port' is {arguments.otlp_port}. Give the port that the agent sends its spans to."
    # Without the variables, whose braces are not placeholders.
    templates = [_strip_secrets(arguments.url), *iter_texts(arguments.body_template)]
    if not any("{" in text for text in templates):
        yield "no part of a case is sent. Put '{input}' into 'body' or 'url'."


def _list_texts_with_variables(arguments: HttpArguments) -> list[str]:
    session, _ = arguments.read_session_argument()
    start = [session.start] if session and session.start else []
    return [arguments.url, *arguments.headers.values(), *start]


def _find_session_problems(arguments: HttpArguments, environ: Mapping[str, str]) -> Iterator[str]:
    session, problems = arguments.read_session_argument()
    yield from problems
    url = strip_variables(arguments.url)
    texts = [url, *iter_texts(arguments.body_template), *arguments.headers.values()]
    is_sent = any(SESSION_PLACEHOLDER in text for text in texts)
    if session is None:
        if is_sent and not problems:
            yield (
                "'{session}' is filled with what 'session' finds in a reply. Add, for example: "
                "session: session_id"
            )
        return
    if session.cookies and is_sent:
        yield "'session: {cookies: true}' sends cookies and has no id. Remove '{session}'."
    elif not session.cookies and not is_sent:
        yield "the session is never sent. Put '{session}' into 'url', 'headers' or 'body'."
    if SESSION_PLACEHOLDER in url and session.start is None:
        yield (
            "'url' needs '{session}' in the first turn, before the server has issued one. Give the URL "
            "that issues it, as in: session: {reply: session_id, start: https://host/sessions}"
        )
    yield from _find_start_problems(session, arguments, environ)


def _find_start_problems(
    session: SessionArguments, arguments: HttpArguments, environ: Mapping[str, str]
) -> Iterator[str]:
    if session.start is None or any(
        name not in environ for name in find_variables([session.start])
    ):
        return
    start = split_url(expand_variables(session.start, environ))
    agent = split_url(expand_variables(arguments.url, environ))
    if start is None:
        yield "'start' under 'session' is not an HTTP URL. Write start: https://host/path"
    # The headers may hold a key that is meant for the agent's host only.
    elif agent is not None and (start.scheme, start.netloc) != (agent.scheme, agent.netloc):
        yield "'start' under 'session' is at another host than 'url'. Use the same host."


def entrypoint(spec: AgentSpec) -> str:
    """Return method and URL, without user, password, query and values of variables."""
    arguments = _read(spec)
    url = re.sub(r"//[^/]*@", "//", arguments.url.partition("?")[0])
    return f"{arguments.method} {url}"


def identify_endpoint(spec: AgentSpec, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the URL without what differs between calls, and the secrets in the headers."""
    arguments = _read(spec)
    url = expand_variables(arguments.url, environ).partition("?")[0].partition("{")[0]
    # As in `base_url` of a chat model, so that an agent and a judge can share an endpoint.
    base = url.rstrip("/").removesuffix("/chat/completions")
    return base, " ".join(find_header_secrets(arguments.headers, environ))


@asynccontextmanager
async def open(  # noqa: A001 - a function of AgentKind
    spec: AgentSpec, environment: RunEnvironment
) -> AsyncIterator[HttpAgent | TracedHttpAgent]:
    """Yield the agent with one session for the whole run.

    Raises:
        InvalidInput: `check` finds a problem, or `otlp_port` is in use.
    """
    raise_problems(check(spec, (), environment))
    arguments, environ = _read(spec), environment.environ
    headers = CIMultiDict({"User-Agent": USER_AGENT, "Content-Type": "application/json"})
    for name, value in arguments.headers.items():
        if name not in arguments.session_headers:
            headers[name] = expand_variables(value, environ)
    async with aiohttp.ClientSession(
        headers=headers,
        connector=aiohttp.TCPConnector(limit=0),  # the scheduler limits the calls in flight
        cookie_jar=aiohttp.DummyCookieJar(),  # trials are independent
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S),
    ) as session:
        agent = HttpAgent(arguments, environ, session)
        if arguments.otlp_port is None:
            yield agent
            return
        async with AsyncExitStack() as stack:
            try:
                receiver = await stack.enter_async_context(open_receiver(arguments.otlp_port))
            except OSError as error:
                message = (
                    f"evalkit cannot listen on 'otlp_port' {arguments.otlp_port}: {error.strerror}. "
                    "Stop the program that uses it, or choose another port for evalkit and the agent."
                )
                raise InvalidInput([to_problem(spec, message)]) from error
            yield TracedHttpAgent(agent, receiver.collector)
