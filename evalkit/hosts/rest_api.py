"""Send the requests of a code host's REST API, with retries on server errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Self
from urllib.parse import urlsplit

import aiohttp

from evalkit import __version__
from evalkit.agents.network_errors import RETRYABLE_STATUSES, choose_proxy, get_host
from evalkit.core.literals import Json

_RETRY_DELAYS_S = (1.0, 4.0)
"""Seconds before the second and the third attempt of a request."""

_DENIALS = (203, 302, 401, 403, 404)
"""Azure answers a wrong token with its sign-in page (203), or redirects to it (302)."""

_PAGE = 100
_MAX_PAGES = 50
_TIMEOUT_S = 30
_MAX_REASON_CHARS = 200


class RequestRefused(Exception):
    """A request that its host did not grant; `is_denial` says whether the token may be the reason."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.is_denial = status in _DENIALS


class RestApi:
    """An API at an address; an async context manager.

    `authorization` is the header of that name. Unlike other headers, aiohttp sends it to no other host when
    the API redirects.
    """

    def __init__(
        self,
        address: str,
        authorization: str,
        environ: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        retry_delays_s: Sequence[float] = _RETRY_DELAYS_S,
    ) -> None:
        self.address = address.rstrip("/")
        self._headers = {
            "User-Agent": f"evalkit/{__version__}",
            "Authorization": authorization,
            **(headers or {}),
        }
        self._proxy = choose_proxy(urlsplit(self.address), environ)
        self._retry_delays_s = retry_delays_s

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()

    async def request(self, method: str, path: str, body: Json = None) -> Json:
        """Send a request and return the reply.

        Raises:
            RequestRefused: the host refused it, could not be reached, or did not reply in JSON.
        """
        url = f"{self.address}/{path}"
        for delay_s in (*self._retry_delays_s, None):
            try:
                async with self._session.request(
                    method, url, json=body, proxy=self._proxy
                ) as reply:
                    content = await reply.read()
                    status = reply.status
                    first_status = (*reply.history, reply)[0].status
            except (aiohttp.ClientError, TimeoutError) as error:
                # What was to be made may exist even if the reply was lost, and must not be made twice.
                if delay_s is None or method == "POST":
                    message = f"{get_host(url)} could not be reached: {type(error).__name__}."
                    raise RequestRefused(message) from error
            else:
                parsed = _parse(content)
                if status < 300 and parsed is None:
                    raise RequestRefused(f"{get_host(url)} did not reply in JSON.", first_status)
                if status < 300:
                    return parsed
                if status not in RETRYABLE_STATUSES or delay_s is None:
                    message = f"{get_host(url)} answered HTTP {status} {_find_reason(parsed)}."
                    raise RequestRefused(message, status)
            await asyncio.sleep(delay_s)
        raise AssertionError("the last attempt returns or raises")

    async def read_pages(
        self, path: str, *, size: str = "per_page", name: str = ""
    ) -> AsyncIterator[dict[str, Json]]:
        """Yield the objects of a list page by page, or those of the list under a key of the reply.

        `size` is the parameter for the length of a page. A reply that is an object has the address of its
        `next` page, and a list that is shorter than its page is the last one.

        Raises:
            RequestRefused: as `request` does.
        """
        separator = "&" if "?" in path else "?"
        for page in range(1, _MAX_PAGES + 1):
            reply = await self.request("GET", f"{path}{separator}{size}={_PAGE}&page={page}")
            found = get_objects(reply, name)
            for each in found:
                yield each
            if not (get_text(reply, "next") if name else len(found) == _PAGE):
                return


def _parse(content: bytes) -> Json:
    """Return a reply; None if it is not JSON."""
    try:
        return json.loads(content)
    except ValueError:
        return None


def _find_reason(reply: Json) -> str:
    """Return the reason in an error reply; GitHub, GitLab, Azure, and Bitbucket differ in the key."""
    reason = get_text(reply, "message") or get_text(get_object(reply, "error"), "message")
    return (reason or get_text(reply, "error"))[:_MAX_REASON_CHARS]


def get_object(value: Json, name: str) -> dict[str, Json]:
    """Return the object under a key; empty if there is none."""
    part = value.get(name) if isinstance(value, dict) else None
    return part if isinstance(part, dict) else {}


def get_objects(value: Json, name: str = "") -> list[dict[str, Json]]:
    """Return the objects in a list, or in the list under a key."""
    found = value.get(name) if name and isinstance(value, dict) else value
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def get_text(value: Json, name: str) -> str:
    """Return the text under a key; empty if there is none."""
    text = value.get(name) if isinstance(value, dict) else None
    return text if isinstance(text, str) else ""


def get_id(value: Json, name: str = "id") -> str:
    """Return the number or text under a key as text; empty if there is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""
