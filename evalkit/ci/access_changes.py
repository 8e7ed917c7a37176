"""Two versions of a set to the variables and hosts that a change adds to its agent and judges."""

from __future__ import annotations

import re
from collections.abc import Iterator

from evalkit.agents.variables import list_hosts, list_variables
from evalkit.core.errors import ApprovalNeeded
from evalkit.core.eval_set import AgentSpec, EvalSet
from evalkit.core.gate_result import GateChange, GateReview
from evalkit.core.judgement import JudgeSpec
from evalkit.core.location import NO_LOCATION


def find_access_changes(before: EvalSet, now: EvalSet) -> Iterator[GateChange]:
    """Yield the variables that the agent or a judge gets anew, and the hosts that it calls anew."""
    pairs: tuple[
        tuple[str, tuple[AgentSpec | JudgeSpec, ...], tuple[AgentSpec | JudgeSpec, ...]], ...
    ]
    pairs = (
        ("agent", (before.agent,) if before.agent else (), (now.agent,) if now.agent else ()),
        ("judge", before.judges, now.judges),
    )
    where = now.agent.where if now.agent else NO_LOCATION
    for who, old, new in pairs:
        known = {variable.name for spec in old for variable in list_variables(spec)}
        named = dict.fromkeys(variable.name for spec in new for variable in list_variables(spec))
        for name in named:
            if name not in known:
                yield GateChange(
                    kind="access",
                    sentence=f"{who}: gets the variable {name}, which it does not get at the base",
                    loosened=True,
                    where=where if who == "agent" else NO_LOCATION,
                )
        hosts = {host for spec in old for host in list_hosts(spec)}
        for host in dict.fromkeys(host for spec in new for host in list_hosts(spec)):
            if host in hosts or _is_here(host):
                continue
            yield GateChange(
                # A host that gets no variable learns no secret.
                kind="access" if named else "agent",
                sentence=f"{who}: calls {host}, which it does not call at the base",
                loosened=True,
                where=where if who == "agent" else NO_LOCATION,
            )


def _is_here(host: str) -> bool:
    from evalkit.agents.network_errors import is_loopback  # noqa: PLC0415 - loads aiohttp

    name = re.sub(r":\d+$", "", host)
    return is_loopback(name.strip("[]"))


def refuse_new_access(review: GateReview | None) -> None:
    """Stop before the first call if the agent would get a variable, or send one to a host, without approval.

    Raises:
        ApprovalNeeded: with all of these changes.
    """
    if review is None or review.accepted:
        return
    found = [change for change in review.changes if change.kind == "access"]
    # The judge is the base's until the change is approved.
    if any(change.sentence.startswith("agent:") for change in found):
        listed = "\n".join(f"  {change.sentence}" for change in found)
        raise ApprovalNeeded(
            f"this change gives secrets to the agent that it does not have at {review.base}, so nothing was "
            f"called. If that is meant, approve it with --accept-gate-changes.\n{listed}"
        )
