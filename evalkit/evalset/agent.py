"""Read the `agent:` section of an eval set."""

from __future__ import annotations

import re
from collections.abc import Sequence

from evalkit.core.eval_set import AgentSpec
from evalkit.core.location import Problem
from evalkit.evalset.fields import drop_none, read_args, read_mapping
from evalkit.evalset.judges import read_prices
from evalkit.evalset.keys import AGENT_KEYS, AGENT_KINDS, VARIABLE_NAME
from evalkit.evalset.nodes import (
    InvalidNode,
    ListNode,
    MappingNode,
    Node,
    Scalar,
    describe_node,
    is_null,
    quote_short,
)

_FUNCTION = r"(\./|/|\.\./)?[\w./-]+:[A-Za-z_]\w*"
_PROMPTFOO = {"exec:": "command", "python:": "python", "file://": "python"}
"""How another tool writes a kind of agent before its value."""


def _suggest_mapping(node: Node) -> str:
    """Return the sentence that writes an agent given as text or a list as the mapping that it should be."""
    if isinstance(node, ListNode) and all(isinstance(item, Scalar) for item in node.items):
        words = [item.text for item in node.items if isinstance(item, Scalar)]
        return f"Write `agent: {{command: {_write_words(words)}}}`."
    if isinstance(node, Scalar) and node.text.strip():
        return f"Write `agent: {_write_agent(node.text.strip())}`."
    return f"Add one of {', '.join(AGENT_KINDS)}."


def _write_agent(text: str) -> str:
    """Return an agent given as one text as a mapping: by its form a function, a URL, a model, or a command."""
    kind, _, rest = text.partition(":")
    for beginning, meant in _PROMPTFOO.items():
        if text.startswith(beginning):
            value = text.removeprefix(beginning).strip()
            return f"{{{meant}: {_write_words(value.split()) if meant == 'command' else value}}}"
    if re.match(r"https?://\S+$", text):
        return f"{{http: {text}}}"
    if kind in ("openai", "anthropic") and rest:
        # Another tool writes the API between provider and model: `openai:chat:MODEL`.
        return f"{{{kind}: {{model: {rest.rpartition(':')[2]}}}}}"
    if re.fullmatch(_FUNCTION, text):
        is_file = kind.endswith(".py") and not text.startswith((".", "/"))
        return f"{{python: {'./' if is_file else ''}{text}}}"
    if re.fullmatch(r"\S+\.py", text):
        return f"{{python: {'' if text.startswith(('.', '/')) else './'}{text}:FUNCTION}}"
    if re.fullmatch(r"\S+\.jsonl", text):
        return f"{{recorded: {text}}}"
    if " " in text:
        return f"{{command: {_write_words(text.split())}}}"
    return f"{{python: {text}:FUNCTION}}" if text.isidentifier() else "{python: ./FILE.py:FUNCTION}"


def _write_words(words: Sequence[str]) -> str:
    return f"[{', '.join(words)}]"


def read_agent(node: Node, problems: list[Problem]) -> AgentSpec | None:
    """Read the agent; None when the section does not say how to reach it."""
    if not isinstance(node, MappingNode | InvalidNode):
        message = f"agent must be a mapping, not {describe_node(node)}. {_suggest_mapping(node)}"
        problems.append(Problem(message=message, where=node.where))
        return None
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
