"""Decide which requests are served: those of a browser that was given the token, to this host only.

A page of another site can make a browser send requests to loopback. So the name of the host, the origin,
and the session are checked before anything is read. A name of the host that is not loopback shows that
another site's name was made to lead here (DNS rebinding).
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NamedTuple

METHODS = ("GET", "HEAD")

_TOKEN_BYTES = 32


class Refusal(NamedTuple):
    """Why a request is not served."""

    status: HTTPStatus
    reason: str


def _new_secret() -> str:
    return secrets.token_urlsafe(_TOKEN_BYTES)


@dataclass(kw_only=True, slots=True)
class Access:
    """The secrets of one server on a port.

    `token` is in the address that is printed, and `session` is what a browser gets in exchange. It is then
    led to `first_page` in `folder`, a secret as well: browsers send a cookie to every port of a host, so
    that a server of another user would see it, but only below its path. A token that another program is
    given works once.
    """

    port: int
    first_page: str = "index.html"
    token: str = field(default_factory=_new_secret, repr=False)
    session: str = field(default_factory=_new_secret, repr=False)
    folder: str = field(default_factory=_new_secret, repr=False)
    _single_use: list[str] = field(default_factory=list, repr=False)

    @property
    def cookie_name(self) -> str:
        """The name of the cookie, so that two servers do not replace each other's."""
        return f"evalkit_view_{self.port}"

    def issue_single_use(self) -> str:
        """Return a new token that works once."""
        token = _new_secret()
        self._single_use.append(token)
        return token

    def accept_token(self, given: str) -> bool:
        """Return whether a token is right; one for a single use is used up by that."""
        for token in self._single_use:
            if _is_same(given, token):
                self._single_use.remove(token)
                return True
        return _is_same(given, self.token)

    def accept_session(self, given: str) -> bool:
        """Return whether a cookie has the session of this server."""
        return _is_same(given, self.session)

    def refuse(
        self, method: str, headers: Mapping[str, str], *, has_token: bool = False
    ) -> Refusal | None:
        """Return why a request is refused whatever its session is, or None.

        Args:
            method: the method of the request.
            headers: its headers; names are looked up as they are spelled here.
            has_token: whether it gives a token, which no other site knows.
        """
        hosts = {f"{name}:{self.port}" for name in ("127.0.0.1", "[::1]", "localhost")}
        host = headers.get("Host", "").lower()
        if host not in hosts:
            return Refusal(HTTPStatus.MISDIRECTED_REQUEST, "This server answers on loopback only.")
        if method not in METHODS:
            return Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "These pages can only be read.")
        if headers.get("Origin", f"http://{host}").lower() != f"http://{host}":
            return Refusal(HTTPStatus.FORBIDDEN, "Another site made this request.")
        if not has_token and is_led_here(headers):
            return Refusal(
                HTTPStatus.FORBIDDEN,
                "Another site led here. Copy the address into the address bar instead.",
            )
        return None


def is_led_here(headers: Mapping[str, str]) -> bool:
    """Return whether a page of another site, or a file, led the browser here."""
    return headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")


def _is_same(given: str, secret: str) -> bool:
    # As bytes: compare_digest refuses text that is not ASCII.
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), secret.encode())
