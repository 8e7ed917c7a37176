"""What `AgentKind` asks of the kinds of agents to which evalkit sends no request."""

from __future__ import annotations

from collections.abc import Mapping

from evalkit.core.eval_set import AgentSpec


def identify_no_endpoint(
    spec: AgentSpec,  # noqa: ARG001 - every kind takes both
    environ: Mapping[str, str],  # noqa: ARG001
) -> tuple[str, str]:
    """Return empty texts: no rate limit is shared with another agent."""
    return "", ""
