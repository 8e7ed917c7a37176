"""Keep the session that a server issues in a conversation, for the later turns of the same conversation."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from http.cookies import Morsel

from evalkit.agents.http_arguments import SESSION_PLACEHOLDER, SessionArguments
from evalkit.agents.http_reply import HttpReply
from evalkit.agents.placeholders import get_at_path
from evalkit.core.literals import Json
from evalkit.core.trial import Request


class HttpSessions:
    """Reads session ids from replies, and adds them to the headers of later requests.

    Placeholders in the URL and the body are filled from the request. A conversation with cookies is known
    by a random id, so that no cookie is stored with a run.
    """

    def __init__(self, arguments: SessionArguments, headers: Mapping[str, str]) -> None:
        self._arguments = arguments
        self._headers = headers
        self._cookies: dict[str, dict[str, str]] = {}

    def describe(self) -> str:
        """Return where a reply should have an id, for a message."""
        if self._arguments.cookies:
            return "no cookie"
        if self._arguments.header is not None:
            return f"no header {self._arguments.header!r}"
        return f"no session id at {self._arguments.reply!r}"

    def build_headers(self, request: Request) -> dict[str, str]:
        """Return the headers of a request that its session adds; none in the first turn."""
        if request.session is None:
            return {}
        if self._arguments.cookies:
            jar = self._cookies.get(str(request.session), {})
            return {"Cookie": "; ".join(f"{name}={value}" for name, value in jar.items())}
        session = str(request.session)
        return {
            name: value.replace(SESSION_PLACEHOLDER, session)
            for name, value in self._headers.items()
        }

    def read(self, known: Json, received: HttpReply) -> Json:
        """Return the session after a reply: a new one, or else the one `known` before; None for neither."""
        if self._arguments.cookies:
            return self._keep_cookies(known, received.cookies)
        if self._arguments.header is not None:
            return received.headers.get(self._arguments.header, known)
        session = known
        for value in received.list_values():
            try:
                found = get_at_path(value, self._arguments.reply or "")
            except LookupError:
                continue
            # `type`, because True is an int.
            if type(found) in (str, int) and found != "":
                session = found
        return session

    def _keep_cookies(self, known: Json, cookies: Iterable[Morsel[str]]) -> Json:
        found = list(cookies)
        if not found:
            return known
        session = known or uuid.uuid4().hex
        jar = self._cookies.setdefault(str(session), {})
        for cookie in found:
            if cookie["max-age"] == "0" or not cookie.value:
                jar.pop(cookie.key, None)
            else:
                jar[cookie.key] = cookie.coded_value
        return session
