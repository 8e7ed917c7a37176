"""Send the requests of a code host's REST API, with retries on server errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Self
from urllib.parse import urlsplit

import aiohttp

from evalkit import __version__
from evalkit.agents.network_errors import RETRYABLE_STATUSES, choose_proxy, get_host
from evalkit.core.literals import Json

RETRY_DELAYS_S = (1.0, 4.0)
"""Seconds before the second and the third attempt of a request."""

_TIMEOUT_S = 30
_MAX_REASON_CHARS = 200


class RequestRefused(Exception):
    """A request that its host did not grant; `status` is 0 without an HTTP error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class RestApi:
    """An API at an address, with the headers that authorize its requests; an async context manager."""

    def __init__(
        self,
        address: str,
        headers: Mapping[str, str],
        environ: Mapping[str, str],
        retry_delays_s: Sequence[float] = RETRY_DELAYS_S,
    ) -> None:
        self.address = address.rstrip("/")
        self._headers = {"User-Agent": f"evalkit/{__version__}", **headers}
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
            except (aiohttp.ClientError, TimeoutError) as error:
                # What was to be made may exist even if the reply was lost, and must not be made twice.
                if delay_s is None or method == "POST":
                    message = f"{get_host(url)} could not be reached: {type(error).__name__}."
                    raise RequestRefused(0, message) from error
            else:
                parsed = _parse(content)
                if status < 300 and parsed is None:
                    raise RequestRefused(0, f"{get_host(url)} did not reply in JSON.")
                if status < 300:
                    return parsed
                if status not in RETRYABLE_STATUSES or delay_s is None:
                    message = f"{get_host(url)} answered HTTP {status} {_find_reason(parsed)}."
                    raise RequestRefused(status, message)
            await asyncio.sleep(delay_s)
        raise AssertionError("the last attempt returns or raises")


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
