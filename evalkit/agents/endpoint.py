"""The address of a model at a chat endpoint, and the key for it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from evalkit.agents.network_errors import get_host, is_loopback, split_url

_SECRET_NAME = re.compile(r"auth|key|secret|token|sig", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointDefaults:
    """Where a kind of model is when the eval set does not say it.

    The environment variable `url_variable` overrides `url`; `key_variable` holds the key.
    """

    url: str
    url_variable: str
    key_variable: str


OPENAI_DEFAULTS = EndpointDefaults(
    url="https://api.openai.com/v1", url_variable="OPENAI_BASE_URL", key_variable="OPENAI_API_KEY"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """The address of a model, and the key for it.

    `key_variable` is the environment variable that holds the key. It must be set if the eval set names
    it (`is_key_named`), or if the endpoint is not on this machine.
    """

    url: str
    key_variable: str
    key: str
    is_key_named: bool

    @classmethod
    def resolve(
        cls,
        base_url: str | None,
        api_key_env: str | None,
        environ: Mapping[str, str],
        defaults: EndpointDefaults = OPENAI_DEFAULTS,
    ) -> Endpoint:
        """Return the endpoint that an eval set names, or the default one."""
        variable = api_key_env or defaults.key_variable
        return cls(
            url=base_url or environ.get(defaults.url_variable) or defaults.url,
            key_variable=variable,
            key=environ.get(variable, ""),
            is_key_named=bool(api_key_env),
        )

    def split_url(self) -> tuple[str, dict[str, str]]:
        """Return the URL under which a client puts its paths, and the query of each request.

        The URL may be that of the chat completions, as Azure shows it for a deployment:
        `https://NAME.openai.azure.com/openai/deployments/D/chat/completions?api-version=2024-10-21`.
        """
        url, _, query = self.url.partition("?")
        base = url.rstrip("/").removesuffix("/messages").removesuffix("/chat/completions")
        return base, dict(parse_qsl(query, keep_blank_values=True))

    @property
    def server(self) -> str:
        """Host and port, for messages."""
        return get_host(self.url)

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is on this machine."""
        url = split_url(self.url)
        return url is not None and is_loopback(url.hostname)

    def find_problems(self) -> Iterator[str]:
        """Yield a message for everything that would prevent a call."""
        url = split_url(self.url)
        if url is None or not url.netloc.isascii():
            yield "'base_url' is not an HTTP URL. Write base_url: https://host/v1"
        elif "@" in url.netloc:
            yield (
                "'base_url' may not contain a user or a password, because it is stored with the run. Give "
                "the key's variable as 'api_key_env', or add a header with ${NAME}."
            )
        elif secret := next(filter(_SECRET_NAME.search, self.split_url()[1]), None):
            yield (
                f"'base_url' may not contain {secret!r}, because it is stored with the run. Give the "
                "key's variable as 'api_key_env', or add a header with ${NAME}."
            )
        elif not self.key and (self.is_key_named or not self.is_local):
            yield (
                f"environment variable {self.key_variable!r}, which holds the key, is not set. "
                f"Set it, or name another one with 'api_key_env'."
            )
