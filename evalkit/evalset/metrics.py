"""Read the `metrics:` section of an eval set or a case."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evalkit.core.eval_set import SHORTHAND, MetricSpec
from evalkit.core.literals import Json
from evalkit.core.location import Problem
from evalkit.evalset.fields import FieldReader, read_args, read_entries
from evalkit.evalset.keys import CRITERIA, METRIC_KEYS, METRIC_LIMITS
from evalkit.evalset.nodes import (
    InvalidNode,
    MappingNode,
    Member,
    Node,
    Scalar,
    describe_node,
    is_null,
    quote_short,
    suggest_similar,
)


def read_metrics(node: Node, owner: str, problems: list[Problem]) -> tuple[MetricSpec, ...]:
    """Read the metrics of an eval set or a case; whether they exist is checked later."""
    specs: dict[str, MetricSpec] = {}
    for item in read_entries("metrics", node, problems):
        spec = _read_metric(item, owner, problems)
        if spec is None:
            continue
        first = specs.setdefault(spec.name, spec)
        if first is not spec:
            message = (
                f"{owner}: a second metric is called {quote_short(spec.name)}; the first is in line "
                f"{first.where.line}. Give one a `name:` of its own."
            )
            problems.append(Problem(message=message, where=spec.where))
    return tuple(specs.values())


def _read_metric(node: Node, owner: str, problems: list[Problem]) -> MetricSpec | None:
    where = node.where
    if isinstance(node, Scalar) and not is_null(node):
        # `- latency_s` is short for `- latency_s:`.
        no_args = Scalar(kind="null", text="", where=where)
        node = MappingNode(members={node.text: Member(where, no_args)}, where=where)
    if not isinstance(node, MappingNode):
        if not isinstance(node, InvalidNode):
            message = f"{owner}: a metric must be a name or a mapping, not {describe_node(node)}."
            problems.append(Problem(message=message, where=where))
        return None
    fields = FieldReader(owner=owner, node=node, problems=problems, keys=METRIC_KEYS)
    refs = [key for key in node.members if key not in METRIC_KEYS]
    if len(refs) != 1 and (advice := _suggest_entry(node, refs)):
        fields.report_problem(f"a metric entry has the metric's name as its key. {advice}")
        return None
    if len(refs) != 1:
        _report_refs(refs, fields)
        return None
    ref = fields.check_label(refs[0], "metric", node)
    return None if ref is None else _build_spec(ref, read_args(node.members[ref].node), fields)


def _suggest_entry(node: MappingNode, refs: list[str]) -> str:
    """Return how to write an entry in which the metric is a value, or that has a limit; empty if unclear."""
    for key in ("type", "metric", "name"):
        member = node.members.get(key)
        rest = [ref for ref in refs if ref != key and ref not in ("threshold", "weight")]
        if member is not None and isinstance(member.node, Scalar) and (key in refs or not refs):
            value = node.members[rest[0]].node if len(rest) == 1 else None
            shown = value.text if isinstance(value, Scalar) else "{...}" if rest else ""
            return (
                f"Write `{{{member.node.text}: {shown}}}`."
                if shown
                else f"Write `- {member.node.text}`."
            )
    limits = [ref for ref in refs if ref in METRIC_LIMITS or ref == "threshold"]
    metrics = [ref for ref in refs if ref not in limits]
    if limits and len(metrics) == 1:
        limit = limits[0] if limits[0] in METRIC_LIMITS else "min"
        return (
            f"A limit belongs in the gate, as in `gate: [{{metric: {metrics[0]}, {limit}: ...}}]`."
        )
    return ""


def _report_refs(refs: list[str], fields: FieldReader) -> None:
    if not refs:
        fields.report_problem("a metric entry names no metric. Write {regex: ..., name: ...}.")
        return
    near = next(
        filter(None, (suggest_similar(ref, METRIC_KEYS) for ref in refs)), ". Begin each with '- '."
    )
    names = " and ".join(map(quote_short, refs[:4]))
    fields.report_problem(f"a metric entry names one metric, but {names} are several{near}")


def _build_spec(ref: str, args: Mapping[str, Json], fields: FieldReader) -> MetricSpec | None:
    name = ref.rpartition(":")[2]
    if ref in ("rubric", "pairwise"):
        # A rubric's scores are named after its file, as in {metric: helpfulness}.
        name = Path(str(args.get(SHORTHAND) or args.get("file") or ref)).stem
        name = f"{name}_pairwise" if ref == "pairwise" and name != ref else name
    if not name:
        fields.report_problem(
            f"metric {quote_short(ref)} has no name after the colon. Write FILE:FUNCTION."
        )
        return None
    if fields.get("name") is not None:
        name = fields.label("name") or ""
    if name == CRITERIA:
        fields.report_problem(
            "'criteria' is the name of the metric for a case's own `criteria:`. Write them on the "
            "case, or give this metric another name."
        )
    if name in ("", CRITERIA):
        return None
    tags = fields.labels("tags") or ()
    return MetricSpec(ref=ref, name=name, args=args, tags=tags, where=fields.node.where)
