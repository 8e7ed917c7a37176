"""Identify a judge that is a chat model by everything that can change its verdicts, however it is written."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from evalkit.agents.endpoint import Endpoint
from evalkit.agents.network_errors import split_url
from evalkit.core.literals import Json
from evalkit.core.serialization import digest

_DEFAULT_PORTS = {"http": 80, "https": 443}


def digest_judge(endpoint: Endpoint, headers: Mapping[str, str], settings: Json) -> str:
    """Return a key of a judge: equal for equal judges, and different for all others.

    The order of keys, the form of a number, the letter case of host and header names, a default port, a
    trailing slash, and the path of the chat completions do not count.
    """
    named = {name.lower(): value for name, value in headers.items()}
    return digest([_canonical_url(endpoint), named, _canonical_value(settings)])


def _canonical_url(endpoint: Endpoint) -> str:
    base, query = endpoint.split_url()
    asked = f"?{urlencode(sorted(query.items()))}" if query else ""
    url = split_url(base)
    if url is None:
        return endpoint.url
    is_default = url.port in (None, _DEFAULT_PORTS.get(url.scheme))
    host = (url.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    port = "" if is_default else f":{url.port}"
    return f"{url.scheme.lower()}://{host}{port}{url.path.rstrip('/')}{asked}"


def _canonical_value(value: Json) -> Json:
    """Return a value in which numbers that are equal are written alike.

    >>> _canonical_value({"temperature": 0.0, "stop": [1.5, True]})
    {'temperature': 0, 'stop': [1.5, True]}
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _canonical_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical_value(item) for item in value]
    return value
