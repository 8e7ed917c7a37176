"""Check that the server of an HTTP agent can be reached, without calling the agent."""

from __future__ import annotations

import http.client
from contextlib import closing

from evalkit.agents.network_errors import get_host, split_url
from evalkit.agents.registry import identify_endpoint
from evalkit.core.eval_set import AgentSpec
from evalkit.core.files import os_error_reason
from evalkit.core.run import RunEnvironment
from evalkit.report.doctor import PlaceCheck

CONNECT_TIMEOUT_S = 5.0


def check_http_agent(spec: AgentSpec, environment: RunEnvironment) -> PlaceCheck:
    """Connect once to the agent's server and send a HEAD request; any reply to that is as good as another."""
    url, _ = identify_endpoint(spec, environment.environ)
    # A URL may contain a password, so only the host is shown.
    host, parts = get_host(url), split_url(url)
    if parts is None:
        return PlaceCheck(name="agent", status="warn", found=f"the host {host!r} differs by case.")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        with closing(
            kind(parts.hostname or "", parts.port, timeout=CONNECT_TIMEOUT_S)
        ) as connection:
            connection.connect()
            try:
                connection.request("HEAD", parts.path or "/")
                status = connection.getresponse().status
            except (OSError, ValueError, http.client.HTTPException):
                return PlaceCheck(
                    name="agent",
                    status="warn",
                    found=f"{host} accepts connections, and does not answer a HEAD request.",
                    advice="Check that an HTTP server is there, and `http` or `https` in `url`.",
                )
    except OSError as error:
        return PlaceCheck(
            name="agent",
            status="fail",
            found=f"{host} cannot be reached: {os_error_reason(error)}.",
            advice="Start the agent, or correct `url` under `agent`.",
        )
    return PlaceCheck(
        name="agent", status="ok", found=f"{host} answers (HTTP {status}); the agent was not called"
    )
