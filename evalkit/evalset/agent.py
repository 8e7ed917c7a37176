"""Read the `agent:` section of an eval set."""

from __future__ import annotations

import re

from evalkit.core.eval_set import AgentSpec
from evalkit.core.location import Problem
from evalkit.evalset.fields import drop_none, read_args, read_mapping
from evalkit.evalset.judges import read_prices
from evalkit.evalset.keys import AGENT_KEYS, AGENT_KINDS, VARIABLE_NAME
from evalkit.evalset.nodes import Node, is_null, quote_short


def read_agent(node: Node, problems: list[Problem]) -> AgentSpec | None:
    """Read the agent; None when the section does not say how to reach it."""
    fields = read_mapping(node, "agent", AGENT_KEYS, problems)
    if fields is None:
        return None
    given = drop_none({**fields.read_all(), "prices": read_prices(fields)})
    for name in given.get("env", ()):
        if not re.fullmatch(VARIABLE_NAME, name):
            fields.report_problem(
                f"env lists names of environment variables, but {quote_short(name)} is not one. "
                f"Set its value outside of this file.",
                fields.get("env"),
            )
    kinds = [key for key in fields.node.members if key in AGENT_KINDS]
    if len(kinds) != 1:
        if kinds:
            fields.report_problem(f"has both {kinds[0]} and {kinds[1]}. Keep one.")
        # An unknown key, which was reported, is probably a misspelled kind.
        elif set(fields.node.members) <= set(AGENT_KEYS):
            fields.report_problem(
                f"nothing says how to reach it. Add one of {', '.join(AGENT_KINDS)}."
            )
        return None
    entry = fields.node.members[kinds[0]].node
    if is_null(entry):
        fields.report_problem(f"{kinds[0]} is empty. Say what to run or call.", entry)
    return AgentSpec(kind=kinds[0], args=read_args(entry), where=fields.node.where, **given)
