"""Turn failures of the network and of HTTP servers into the errors of an agent."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from urllib.parse import SplitResult, urlsplit

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from evalkit.agents.error_text import say_error
from evalkit.agents.rate_headers import find_body_wait_s, find_wait_s
from evalkit.core.limits import MAX_DETAIL_CHARS, MAX_REPLY_BYTES
from evalkit.core.safe_text import head
from evalkit.core.trial import AgentError

CONNECT_TIMEOUT_S = 10.0
"""How long name resolution, TCP and TLS may take together."""

TRANSIENT_STATUSES = frozenset(
    {408, 409, 425, 429, 498, 502, 503, 504, 520, 521, 522, 523, 524, 529}
)
"""Statuses of an endpoint, or of the proxy before it, that serves no call for now, or not so many."""

# Not 501 (not implemented): a retry would get the same answer.
RETRYABLE_STATUSES = TRANSIENT_STATUSES | {500}


def timeout_error(timeout_s: float, server: str) -> AgentError:
    """Return the error of a call whose reply is not complete at its deadline."""
    return AgentError(
        kind="timeout",
        message=f"no complete reply from {server} within {timeout_s:g} s.",
    )


def too_large_error(server: str) -> AgentError:
    """Return the error of a reply that is over the size limit."""
    message = f"the reply of {server} exceeded {MAX_REPLY_BYTES:,} bytes; the rest was not read."
    return AgentError(kind="output_too_large", message=message)


def status_error(status: int, headers: Mapping[str, str], server: str, body: str) -> AgentError:
    """Return the error of a reply with a status other than 2xx."""
    wait_s = find_wait_s(headers, datetime.now(UTC))
    return AgentError(
        kind="rate_limited" if status == 429 else "http_status",
        message=f"{server} answered HTTP {status}{_say(body)}",
        detail=head(body, MAX_DETAIL_CHARS),
        retryable=status in RETRYABLE_STATUSES,
        transient=status in TRANSIENT_STATUSES,
        retry_after_s=find_body_wait_s(body) if wait_s is None else wait_s,
    )


def _say(body: str) -> str:
    said = say_error(body)
    return f": {said}" if said else "."


def connection_error(error: BaseException, server: str) -> AgentError | None:
    """Return the error for an exception of an HTTP client; None if it is not a failure of the network.

    The causes of the exception count as well, because clients wrap each other's exceptions, sometimes
    under a wrong name (httpx-aiohttp calls every lost connection a timeout).
    """
    chain = tuple(iter_causes(error))
    kind = next(filter(None, map(_classify_error, chain)), None)
    if kind is None:
        return None
    failure = {
        "tls": f"no secure connection to {server}",
        "connect": f"no connection to {server}",
        "connection_lost": f"the connection to {server} was lost",
        "bad_reply": f"the reply of {server} is not valid HTTP",
        "bad_request": f"{server} cannot be called at this URL",
    }[kind]
    reason = next(filter(None, map(_describe_reason, chain)), type(error).__name__)
    return AgentError(
        kind=kind,
        message=f"{failure}: {reason}.",
        retryable=kind in ("connect", "connection_lost"),
        transient=kind == "connect",
    )


def iter_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception, then its cause, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _classify_error(error: BaseException) -> str | None:
    match error:
        case ssl.SSLError() | aiohttp.ClientSSLError():
            return "tls"
        case (
            aiohttp.ClientConnectorError()
            | aiohttp.ConnectionTimeoutError()
            | aiohttp.ClientHttpProxyError()
        ):
            return "connect"
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return "bad_request"
        case aiohttp.ClientResponseError():
            return "bad_reply"
        case aiohttp.ClientPayloadError() if isinstance(error.__cause__, ContentEncodingError):
            return "bad_reply"
        # The order matters: all classes above are subclasses of ClientError.
        case aiohttp.ClientError():
            return "connection_lost"
    # httpx decompresses replies itself. The name is compared because it has two module names.
    return "bad_reply" if type(error).__name__ == "DecodingError" else None


def _describe_reason(error: BaseException) -> str | None:
    match error:
        case ssl.SSLCertVerificationError() if hasattr(error, "verify_message"):
            return str(error.verify_message)
        case ssl.SSLError() if getattr(error, "reason", None):
            return str(error.reason).replace("_", " ").lower()
        case socket.gaierror():
            return error.strerror
        case aiohttp.ConnectionTimeoutError():
            return f"no answer within {CONNECT_TIMEOUT_S:g} s"
        case aiohttp.ServerDisconnectedError():
            return "the server closed the connection without a reply"
        case aiohttp.ClientPayloadError():
            return "the reply ends too early"
        case aiohttp.ClientResponseError():
            return error.message.partition("\n")[0].rstrip(":. ")
        case OSError() if not isinstance(error, aiohttp.ClientError) and error.errno:
            return os.strerror(error.errno)
    return None


def get_host(url: str) -> str:
    """Return host and port of a text that may be a URL, without user and password, for messages.

    >>> get_host("https://ann:s3cret@example.org:8443/ask")
    'example.org:8443'
    """
    rest = url.partition("://")[2] or url
    return re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]


def split_url(url: str) -> SplitResult | None:
    """Return the parts of a valid HTTP URL, or None."""
    try:
        parts = urlsplit(url)
        # For a host that DNS cannot encode, each client raises a different exception.
        host = (parts.hostname or "").encode("idna")
        is_valid = parts.scheme in ("http", "https") and host and parts.port != 0
    except ValueError:
        return None
    return parts if is_valid and url.isprintable() else None


def is_loopback(host: str | None) -> bool:
    """Return whether a host name or address is this machine's own."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def choose_proxy(url: SplitResult, environ: Mapping[str, str]) -> str | None:
    """Return the proxy for a URL from `http_proxy`, `https_proxy` and `no_proxy`; None for loopback hosts."""
    host = url.hostname or ""
    exempt = _get_variable(environ, "no_proxy").replace(" ", "").split(",")
    # As in curl: `*` exempts every host; `example.org` and `.example.org` also exempt subdomains.
    if is_loopback(host) or any(
        entry == "*" or f".{host}".endswith(f".{entry.lstrip('.')}") for entry in exempt if entry
    ):
        return None
    return _get_variable(environ, f"{url.scheme}_proxy") or None


def _get_variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.upper(), "")
