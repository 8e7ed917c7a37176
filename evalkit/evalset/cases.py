"""One case of an eval set, turned from a node into a record with a digest of all that can change its score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from evalkit.core.eval_set import Case, MetricSpec, Turn
from evalkit.core.literals import Json, Role
from evalkit.core.location import Problem
from evalkit.core.serialization import digest
from evalkit.evalset.criteria import read_criteria
from evalkit.evalset.fields import FieldReader, read_mapping
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
from evalkit.evalset.sections import CRITERIA, read_metrics

CASE_KEYS = ("id", "input", "expected", "tags", "metadata", "cluster", "metrics", CRITERIA)
TURN_KEYS = ("role", "content")

_ROLES: tuple[Role, ...] = ("system", "user", "assistant")


def _describe_case(node: Node) -> str:
    member = node.members.get("id") if isinstance(node, MappingNode) else None
    name = member.node.text if member is not None and isinstance(member.node, Scalar) else ""
    return f"case {quote_short(name)}" if name.strip() else "case"


def _read_turn(node: Node, fields: FieldReader) -> Turn | None:
    if isinstance(node, Scalar) and not is_null(node):
        return Turn(role="user", content=node.text)
    if not isinstance(node, MappingNode):
        if not isinstance(node, InvalidNode):
            message = f"a turn must be text or a mapping with role and content, not {describe_node(node)}."
            fields.report_problem(message, node)
        return None
    turn = read_mapping(node, f"{fields.owner}: turn", TURN_KEYS, fields.problems)
    if turn is None:
        return None
    if turn.get("role") is None:
        turn.report_problem(f"role is missing. Add one of {', '.join(_ROLES)}.")
    role = turn.choice("role", _ROLES)
    content = turn.required_text("content")
    return None if role is None or content is None else Turn(role=role, content=content)


def _read_input(fields: FieldReader) -> str | tuple[Turn, ...]:
    member = fields.node.members.get("input")
    if member is None or not isinstance(member.node, ListNode | MappingNode):
        return fields.required_text("input") or ""
    node = member.node
    if isinstance(node, MappingNode):
        fields.report_problem("input must be text or a list of turns, not a mapping.", node)
        return ""
    turns = tuple(turn for item in node.items if (turn := _read_turn(item, fields)) is not None)
    # A turn that was reported already may be the one that is missed here.
    if len(turns) == len(node.items) and (not turns or turns[-1].role != "user"):
        fields.report_problem(
            "the last turn of input must be the user's: it is what is answered.", node
        )
    return turns


def _digest_case(
    prompt: str | tuple[Turn, ...],
    expected: Json,
    metadata: Json,
    metrics: Sequence[MetricSpec],
) -> str:
    turns = [[turn.role, turn.content] for turn in prompt] if isinstance(prompt, tuple) else prompt
    # A mapping, because scores do not depend on the order in which metrics are listed.
    own = {spec.name: [spec.ref, spec.args] for spec in metrics}
    return digest({"input": turns, "expected": expected, "metadata": metadata, "metrics": own})


def _read_criteria(fields: FieldReader) -> MetricSpec | None:
    """What only this case demands, as a metric of its own, which passes when all of it is met."""
    criteria = read_criteria(fields, CRITERIA)
    place = fields.get(CRITERIA)
    for criterion in criteria:
        best = max(level.value for level in criterion.levels)
        if criterion.weight and best < 1:
            fields.report_problem(
                f"criterion {quote_short(criterion.name)}: its best level counts {best:g}, and a case's own "
                f"criteria pass when each has a level that counts 1.",
                place,
            )
    if place is None or not criteria:
        return None
    # A case's digest covers its metrics' arguments, and where a check stands is none of them.
    plain = (
        replace(each, check=replace(each.check, line=0) if each.check else None)
        for each in criteria
    )
    return MetricSpec(
        ref=CRITERIA,
        name=CRITERIA,
        args={CRITERIA: [msgspec.to_builtins(criterion) for criterion in plain]},
        where=place.where,
    )


def read_case(node: Node, problems: list[Problem]) -> Case | None:
    """A case, as far as it can be made out; None when it has no id."""
    owner = _describe_case(node)
    fields = read_mapping(node, owner, CASE_KEYS, problems)
    if fields is None:
        return None
    case_id = fields.required_text("id")
    case_id = None if case_id is None else fields.check_label(case_id, "id")
    prompt = _read_input(fields)
    expected = fields.get("expected")
    expected_value = None if expected is None else to_plain_value(expected)
    tags = fields.labels("tags") or ()
    metadata = fields.mapping("metadata") or {}
    cluster = fields.label("cluster")
    own_metrics = fields.get("metrics")
    metrics = () if own_metrics is None else read_metrics(own_metrics, owner, problems)
    if CRITERIA in fields.node.members:
        own_criteria = _read_criteria(fields)
        metrics = (*metrics, *([own_criteria] if own_criteria else []))
    if case_id is None:
        return None
    return Case(
        id=case_id,
        input=prompt,
        expected=expected_value,
        tags=tags,
        metadata=metadata,
        cluster=cluster,
        metrics=metrics,
        digest=_digest_case(prompt, expected_value, metadata, metrics),
        where=node.where,
    )
