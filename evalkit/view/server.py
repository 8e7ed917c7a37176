"""Serve the pages of a store on loopback, to the browsers that were given the token."""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import logging
import re
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, unquote

from evalkit.core.errors import EvalkitError
from evalkit.core.files import os_error_reason
from evalkit.view import addresses
from evalkit.view.access import METHODS, Access, Refusal, is_led_here
from evalkit.view.messages import SitePage, error_page, message_page

if TYPE_CHECKING:
    from aiohttp import web

    from evalkit.view.records import PageSource

T = TypeVar("T")

TOKEN = "token"  # noqa: S105 - the name of the parameter
EVENTS = "events"

MAX_STREAMS = 32
"""Pages that can follow the store at once."""

_RENDERERS = 2
_EVENT_S = 1.0
_KEEP_ALIVE_S = 15.0
_SHUTDOWN_S = 0.5

_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "evalkit",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_POLICY = re.compile(r'http-equiv="Content-Security-Policy" content="([^"]+)"')
_NO_POLICY = "default-src 'none'"


def build_url(access: Access, token: str) -> str:
    """Return the address of the home page with a token."""
    return f"http://127.0.0.1:{access.port}/?{TOKEN}={token}"


async def serve(
    source: PageSource,
    sockets: list[socket.socket],
    access: Access,
    on_start: Callable[[], object],
    say: Callable[[str], object],
) -> None:
    """Serve until SIGINT or SIGTERM; open connections do not delay the end.

    Args:
        source: renders the pages.
        sockets: listen on loopback.
        access: the secrets of the server.
        on_start: is called when the server answers.
        say: prints a message about a bug, of which pages show no detail.
    """
    from aiohttp import web  # noqa: PLC0415 - 150 ms, for this command only

    server = _PageServer(source, access, say)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stopped.set)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.handle)
    application.on_response_prepare.append(server.add_headers)
    runner = web.AppRunner(
        application,
        access_log=None,
        logger=_create_silent_logger(),
        handle_signals=False,
        shutdown_timeout=_SHUTDOWN_S,
    )
    await runner.setup()
    deciding = asyncio.create_task(server.decide())
    try:
        for listening in sockets:
            await web.SockSite(runner, listening).start()
        on_start()
        await server.stopped.wait()
    finally:
        server.stopped.set()
        deciding.cancel()
        await runner.cleanup()


def _create_silent_logger() -> logging.Logger:
    """Return a logger for aiohttp, which otherwise prints a traceback for each request that is not HTTP."""
    logger = logging.Logger("evalkit.view")
    logger.addHandler(logging.NullHandler())
    return logger


class _PageServer:
    """Answers the requests of one server."""

    def __init__(self, source: PageSource, access: Access, say: Callable[[str], object]) -> None:
        self._say = say
        self.stopped = asyncio.Event()
        self._source = source
        self._access = access
        self._renderers = asyncio.Semaphore(_RENDERERS)
        self._streams = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, after every check of where it comes from."""
        from aiohttp import web  # noqa: PLC0415 - as above

        access = self._access
        path, token = request.rel_url.raw_path, request.query.get(TOKEN)
        gives_token = token is not None and path == "/"
        refusal = access.refuse(request.method, request.headers, has_token=gives_token)
        if refusal is not None:
            return _refuse(refusal)
        if gives_token:
            return self._start_session(request)
        # Before the address is read: who does not know the folder learns nothing.
        start = f"/{access.folder}/"
        if not path.startswith(start) or not access.accept_session(
            request.cookies.get(access.cookie_name, "")
        ):
            return _refuse(_NO_SESSION)
        address = unquote(path.removeprefix(start)) or addresses.HOME
        if address == EVENTS:
            return await self._stream(request, request.query.get("page", addresses.HOME))
        page = await self._in_thread(lambda: self._render(address))
        return web.Response(
            text=page.html,
            status=page.status,
            content_type="text/html",
            charset="utf-8",
            headers={"Content-Security-Policy": _find_policy(page.html)},
        )

    def _start_session(self, request: web.Request) -> web.Response:
        """Exchange a token for a cookie, and lead to the first page."""
        from aiohttp import web  # noqa: PLC0415 - as above

        access = self._access
        if not access.accept_token(request.query[TOKEN]):
            return _refuse(_NO_SESSION)
        start = f"/{access.folder}/"
        place = f"{start}{quote(access.first_page)}"
        if is_led_here(request.headers):
            # A redirect would count as one of the other site, and get no cookie. This page is of this one.
            text = f'<!doctype html><meta http-equiv="refresh" content="0; url={place}">'
            response = web.Response(text=text, content_type="text/html")
        else:
            response = web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": place})
        response.set_cookie(
            access.cookie_name, access.session, httponly=True, samesite="Strict", path=start
        )
        return response

    async def add_headers(self, _: web.Request, response: web.StreamResponse) -> None:
        """Add the headers that every response has."""
        for name, value in _HEADERS.items():
            response.headers[name] = value
        policy = response.headers.get("Content-Security-Policy", _NO_POLICY)
        response.headers["Content-Security-Policy"] = f"{policy}; frame-ancestors 'none'"

    async def decide(self) -> None:
        """Find the results that pages lack, one second at a time."""
        while not self.stopped.is_set():
            more = await self._in_thread(self._source.decide_missing)
            await asyncio.sleep(0 if more else _EVENT_S)

    def _render(self, address: str) -> SitePage:
        home = addresses.relative_link(address, addresses.HOME)
        try:
            page = self._source.render(address)
        except EvalkitError as error:
            return error_page(str(error), home)
        except OSError as error:
            return error_page(f"{error.filename}: {os_error_reason(error)}.", home)
        except Exception:  # any other one is a bug
            self._say(f"{traceback.format_exc()}This is a bug in evalkit. The server continues.")
            lines = ["The terminal in which evalkit view runs shows the traceback."]
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            return message_page("This is a bug in evalkit", lines, home, status)
        if page is None:
            lines = ["No run, case, or set has this address. It may have been deleted."]
            return message_page("Not found", lines, home, HTTPStatus.NOT_FOUND)
        return page

    async def _stream(self, request: web.Request, address: str) -> web.StreamResponse:
        """Send an event whenever something on a page changes, until the page is closed."""
        from aiohttp import web  # noqa: PLC0415 - as above

        if self._streams >= MAX_STREAMS:
            return _refuse(Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "Too many pages are open."))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        self._streams += 1
        try:
            await response.prepare(request)
            last, quiet_s = b"", 0.0
            while not self.stopped.is_set() and request.method == "GET":
                # Between two events, nothing else shows that the page was closed.
                if request.transport is None or request.transport.is_closing():
                    break
                event = await self._in_thread(lambda: self._render_event(address))
                if event != last:
                    await response.write(b"event: store\ndata: " + event + b"\n\n")
                    last, quiet_s = event, 0.0
                elif quiet_s >= _KEEP_ALIVE_S:
                    await response.write(b": nothing new\n\n")
                    quiet_s = 0.0
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.stopped.wait(), _EVENT_S)
                quiet_s += _EVENT_S
        except ConnectionError:
            pass  # the page was closed
        finally:
            self._streams -= 1
        return response

    def _render_event(self, address: str) -> bytes:
        try:
            event = self._source.describe_event(address)
        except Exception as error:  # also of a bug
            # Another version than that of any page, so that the page is loaded again and says why.
            event = {"panels": None, "figures": "", "version": str(error)}
        return json.dumps(event).encode()

    async def _in_thread(self, function: Callable[[], T]) -> T:
        """Call a function in a thread that does not delay the end of the process."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type] # it is a T without an error

        def call() -> None:
            result, failure = None, None
            try:
                result = function()
            except BaseException as error:  # raised where the result is awaited
                failure = error
            # The loop is closed if the server has ended meanwhile.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, result, failure)

        async with self._renderers:
            threading.Thread(target=call, daemon=True).start()
            return await future


_NO_SESSION = Refusal(
    HTTPStatus.FORBIDDEN, "Open the address that evalkit view printed, with its token."
)


def _refuse(refusal: Refusal) -> web.Response:
    from aiohttp import web  # noqa: PLC0415 - as above

    headers: Mapping[str, str] = {}
    if refusal.status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": ", ".join(METHODS)}
    return web.Response(status=refusal.status, text=f"{refusal.reason}\n", headers=headers)


def _find_policy(page: str) -> str:
    """Return the policy that a page declares, so that the response has it as well."""
    found = _POLICY.search(page)
    return html.unescape(found[1]) if found else _NO_POLICY
