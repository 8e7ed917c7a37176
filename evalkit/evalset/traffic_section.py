"""Read the section `traffic:` of a project file: the thresholds for production traffic."""

from __future__ import annotations

from evalkit.core.eval_set import Rule, TrafficSection
from evalkit.core.location import Problem
from evalkit.evalset.fields import FieldReader, drop_none, read_entries, read_mapping
from evalkit.evalset.keys import METRIC_LIMITS, TRAFFIC_KEYS, TRAFFIC_RULE_KEYS
from evalkit.evalset.nodes import InvalidNode, Node

_CHANGE_LIMITS = ("max_drop", "max_rise")


def read_traffic(node: Node, problems: list[Problem]) -> TrafficSection | None:
    """Read the section; None if it is no mapping. Names of metrics are not checked here."""
    fields = read_mapping(node, "traffic", TRAFFIC_KEYS, problems)
    if fields is None:
        return None
    listed = fields.get("gate")
    if listed is None:
        if fields.is_empty("gate"):
            fields.report_problem(
                "gate is missing. Add a threshold: gate: [{metric: escalation_rate, max_rise: 0.02}]"
            )
        return None
    entries = read_entries("traffic: gate", listed, problems)
    if not entries and not isinstance(listed, InvalidNode):
        fields.report_problem("gate has no threshold, so everything would pass. Add one.", listed)
    rules = [rule for item in entries if (rule := _read_rule(item, problems)) is not None]
    primary = [rule for rule in rules if rule.primary]
    for rule in primary[1:]:
        message = (
            f"traffic: a second rule is primary; the first is in line {primary[0].where.line}. Only one "
            f"can keep its whole alpha."
        )
        problems.append(Problem(message=message, where=rule.where))
    return TrafficSection(gate=tuple(rules), where=node.where, **fields.read_all())


def _read_rule(node: Node, problems: list[Problem]) -> Rule | None:
    fields = read_mapping(node, "traffic: gate", TRAFFIC_RULE_KEYS, problems)
    if fields is None or not _check_limit(fields):
        return None
    given = drop_none(fields.read_all())
    limit = given.get("max_drop", given.get("max_rise"))
    if limit is None:
        return Rule(where=node.where, **given)
    margin = given.pop("margin", limit)
    if not max(margin, limit) and not given.get("and_at_least"):
        fields.report_problem(
            "no amount of traffic can rule out a change of 0. Add a margin, for example margin: 0.01."
        )
    return Rule(where=node.where, margin=margin, **given)


def _check_limit(fields: FieldReader) -> bool:
    """Return whether a rule has a metric and exactly one limit; report what is wrong."""
    if fields.is_empty("metric"):
        fields.report_problem("metric is missing. Name what is limited, for example success_rate.")
    limits = [key for key in METRIC_LIMITS if key in fields.node.members]
    if not limits:
        fields.report_problem(
            f"a threshold without a limit lets everything pass. Add one of {', '.join(METRIC_LIMITS)}."
        )
        return False
    if len(limits) > 1:
        fields.report_problem(f"has both {limits[0]} and {limits[1]}. Make two thresholds of it.")
        return False
    [limit] = limits
    if fields.is_empty(limit):
        fields.report_problem(
            f"{limit} is empty. Give it a value.", fields.node.members[limit].where
        )
    for key in ("margin", "and_at_least"):
        if limit not in _CHANGE_LIMITS and key in fields.node.members:
            fields.report_problem(
                f"{key} belongs to max_drop or max_rise. Remove it.", fields.get(key)
            )
    return fields.get("metric") is not None and fields.get(limit) is not None
