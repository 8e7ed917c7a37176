"""Read one case of an eval set into a record with a digest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from evalkit.core.eval_set import Case, MetricSpec, Turn
from evalkit.core.literals import Json
from evalkit.core.location import Problem
from evalkit.core.serialization import digest
from evalkit.evalset.fields import FieldReader, read_mapping
from evalkit.evalset.keys import CASE_KEYS, TURN_KEYS
from evalkit.evalset.nodes import (
    InvalidNode,
    ListNode,
    MappingNode,
    Node,
    Scalar,
    describe_node,
    is_null,
    quote_short,
    to_plain_value,
)

MetricsReader: TypeAlias = Callable[[FieldReader], tuple[MetricSpec, ...]]
"""Reads a case's own metrics."""


def read_case(node: Node, problems: list[Problem], read_metrics: MetricsReader) -> Case | None:
    """Read a case as far as possible; None when it has no id."""
    fields = read_mapping(node, _describe_case(node), CASE_KEYS, problems)
    if fields is None:
        return None
    case_id = fields.required_text("id")
    case_id = None if case_id is None else fields.check_label(case_id, "id")
    prompt = _read_input(fields)
    expected = fields.get("expected")
    expected_value = None if expected is None else to_plain_value(expected)
    draft = fields.get("draft")
    if draft is not None and expected is not None:
        message = (
            "has `expected` and `draft`. Delete the draft, because a label is confirmed or not."
        )
        fields.report_problem(message, draft)
    given = fields.read_all("id")
    metrics = read_metrics(fields)
    if case_id is None:
        return None
    return Case(
        id=case_id,
        input=prompt,
        expected=expected_value,
        draft=_read_draft(fields),
        metrics=metrics,
        digest=_digest_case(prompt, expected_value, given.get("metadata", {}), metrics),
        where=node.where,
        **given,
    )


def _read_draft(fields: FieldReader) -> Json:
    """Return the draft; an empty one, of a case without a label, is still one that nobody has confirmed."""
    draft = fields.get("draft")
    if draft is not None:
        return to_plain_value(draft)
    is_emptied = "draft" in fields.node.members and fields.is_empty("draft")
    return "" if is_emptied and fields.get("expected") is None else None


def _describe_case(node: Node) -> str:
    member = node.members.get("id") if isinstance(node, MappingNode) else None
    name = member.node.text if member is not None and isinstance(member.node, Scalar) else ""
    return f"case {quote_short(name)}" if name.strip() else "case"


def _read_input(fields: FieldReader) -> str | tuple[Turn, ...]:
    member = fields.node.members.get("input")
    if member is None or not isinstance(member.node, ListNode | MappingNode):
        # An empty text is a valid input: it tests how the agent handles it.
        return fields.required_text("input") or ""
    node = member.node
    if isinstance(node, MappingNode):
        advice = (
            "Begin each turn with '- '."
            if node.members.keys() & TURN_KEYS.keys()
            else "Write it as one text. Values for templates and metrics belong under `metadata`."
        )
        message = f"input must be text or a list of turns, not a mapping. {advice}"
        fields.report_problem(message, node)
        return ""
    turns = tuple(turn for item in node.items if (turn := _read_turn(item, fields)) is not None)
    # An invalid turn was reported already, and it may be the user's last one.
    if len(turns) == len(node.items) and (not turns or turns[-1].role != "user"):
        fields.report_problem(
            "the last turn of input must be the user's, because the agent answers it.", node
        )
    return turns


def _read_turn(node: Node, fields: FieldReader) -> Turn | None:
    if isinstance(node, Scalar) and not is_null(node):
        return Turn(role="user", content=node.text)
    if not isinstance(node, MappingNode):
        if not isinstance(node, InvalidNode):
            message = "a turn must be text or a mapping with role and content"
            fields.report_problem(f"{message}, not {describe_node(node)}.", node)
        return None
    turn = read_mapping(node, f"{fields.owner}: turn", TURN_KEYS, fields.problems)
    if turn is None:
        return None
    if turn.get("role") is None:
        turn.report_problem("role is missing. Add one of system, user, assistant.")
    role, content = turn.read("role"), turn.required_text("content")
    return None if role is None or content is None else Turn(role=role, content=content)


def _digest_case(
    prompt: str | tuple[Turn, ...], expected: Json, metadata: Json, metrics: Sequence[MetricSpec]
) -> str:
    turns = [[turn.role, turn.content] for turn in prompt] if isinstance(prompt, tuple) else prompt
    # A mapping, because scores do not depend on the order in which metrics are listed.
    own = {spec.name: [spec.ref, spec.args] for spec in metrics}
    return digest({"input": turns, "expected": expected, "metadata": metadata, "metrics": own})
