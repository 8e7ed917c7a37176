"""What goes wrong between here and a server, turned into the errors of an agent."""

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

from evalkit.agents.wrappers import parse_retry_after
from evalkit.core.limits import MAX_DETAIL_CHARS, MAX_REPLY_BYTES
from evalkit.core.safe_text import head
from evalkit.core.trial import AgentError

CONNECT_TIMEOUT_S = 10.0
"""How long name resolution, TCP and TLS may take together."""

RETRYABLE_STATUSES = frozenset({429, 500, 502, 503, 504})


def timeout_error(timeout_s: float, server: str) -> AgentError:
    """The error of a call that was not answered, to the last byte, before its deadline."""
    return AgentError(
        kind="timeout", message=f"no whole reply from {server} within {timeout_s:g} s."
    )


def too_large_error(server: str) -> AgentError:
    """The error of a reply that goes over the cap."""
    message = f"the reply of {server} went over {MAX_REPLY_BYTES:,} bytes; the rest was not read."
    return AgentError(kind="output_too_large", message=message)


def status_error(status: int, retry_after: str | None, server: str, body: str) -> AgentError:
    """The error of a reply whose status is not one of success."""
    return AgentError(
        kind="rate_limited" if status == 429 else "http_status",
        message=f"{server} answered HTTP {status}.",
        detail=head(body, MAX_DETAIL_CHARS),
        retryable=status in RETRYABLE_STATUSES,
        retry_after_s=parse_retry_after(retry_after, datetime.now(UTC)),
    )


def connection_error(error: BaseException, server: str) -> AgentError | None:
    """The error that an exception of an HTTP client stands for; None if it is no trouble of the network.

    Clients wrap each other's exceptions, sometimes under a wrong name (httpx-aiohttp calls every
    lost connection a timeout), so that the causes count as well.
    """
    chain = tuple(iter_causes(error))
    kind = next(filter(None, map(_classify_error, chain)), None)
    if kind is None:
        return None
    what = {
        "tls": f"no secure connection to {server}",
        "connect": f"no connection to {server}",
        "connection_lost": f"the connection to {server} was lost",
        "bad_reply": f"what {server} sent is no valid HTTP",
        "bad_request": f"{server} cannot be asked at this URL",
    }[kind]
    reason = next(filter(None, map(_describe_reason, chain)), type(error).__name__)
    return AgentError(
        kind=kind,
        message=f"{what}: {reason}.",
        retryable=kind in ("connect", "connection_lost"),
    )


def iter_causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and what led to it, the nearest first."""
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
        case aiohttp.ClientError():
            return "connection_lost"
    # httpx undoes compression itself; it goes by two module names.
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
            return f"nothing within {CONNECT_TIMEOUT_S:g} s"
        case aiohttp.ServerDisconnectedError():
            return "the server hung up without a reply"
        case aiohttp.ClientPayloadError():
            return "the reply cannot be read to its end"
        case aiohttp.ClientResponseError():
            return error.message.partition("\n")[0].rstrip(":. ")
        case OSError() if not isinstance(error, aiohttp.ClientError) and error.errno:
            return os.strerror(error.errno)
    return None


def get_host(url: str) -> str:
    """Host and port of what may be a URL, without user and password, for messages.

    >>> host_of("https://ann:s3cret@example.org:8443/ask")
    'example.org:8443'
    """
    rest = url.partition("://")[2] or url
    return re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]


def split_url(url: str) -> SplitResult | None:
    """The parts of an HTTP address that a client can ask; None if it is none."""
    try:
        parts = urlsplit(url)
        # Clients fail on a host that has no form for DNS, each with an exception of its own.
        host = (parts.hostname or "").encode("idna")
        is_good = parts.scheme in ("http", "https") and host and parts.port != 0
    except ValueError:
        return None
    return parts if is_good and url.isprintable() else None


def is_loopback(host: str | None) -> bool:
    """Whether a host name or address is this machine's own."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def choose_proxy(url: SplitResult, environ: Mapping[str, str]) -> str | None:
    """The proxy that the usual variables name for a URL; none for this machine itself."""
    host = url.hostname or ""
    exempt = _get_variable(environ, "no_proxy").replace(" ", "").split(",")
    if is_loopback(host) or any(
        entry == "*" or f".{host}".endswith(f".{entry.lstrip('.')}") for entry in exempt if entry
    ):
        return None
    return _get_variable(environ, f"{url.scheme}_proxy") or None


def _get_variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.upper(), "")
