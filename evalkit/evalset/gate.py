"""Read the `gate:` section of an eval set into rules, and add the metrics that they need."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from evalkit.core.eval_set import MetricSpec, Rule
from evalkit.core.location import Problem
from evalkit.evalset.fields import FieldReader, drop_none, read_entries, read_mapping
from evalkit.evalset.foreign_keys import guess_key
from evalkit.evalset.keys import CASE_LIMITS, COMPARISON_KEYS, METRIC_LIMITS, RULE_KEYS
from evalkit.evalset.nodes import (
    InvalidNode,
    ListNode,
    MappingNode,
    Node,
    Scalar,
    describe_node,
    quote_short,
)
from evalkit.evalset.numbers import convert_number

_LIMITS = {">": "min", ">=": "min", "<": "max", "<=": "max"}
_COMPARED = re.compile(r"\s*([\w.-]+)\s*([<>]=?)\s*(\S+)\s*")


def _suggest_rules(node: Node) -> str:
    """Return the sentence that writes thresholds given as text or a mapping as a list."""
    if isinstance(node, MappingNode) and node.members.keys() & RULE_KEYS.keys():
        return "Begin it with '- '."
    short = node
    if isinstance(node, MappingNode) and node.members:
        first = next(iter(node.members))
        short = replace(node, members={first: node.members[first]})
    example = _write_short_rule(short) or "{metric: exact_match, min: 0.8}"
    return f"Write `gate: [{example}]`."


def _write_short_rule(node: Node) -> str:
    """Return `metric >= 0.8` or `{metric: 0.8}` as a rule; empty if the node is neither."""
    if isinstance(node, Scalar):
        found = _COMPARED.fullmatch(node.text)
        value = convert_number(found[3]) if found else None
        if found is None or value is None:
            return ""
        return f"{{metric: {found[1]}, {_LIMITS[found[2]]}: {value:.10g}}}"
    if not isinstance(node, MappingNode) or len(node.members) != 1:
        return ""
    [(metric, member)] = node.members.items()
    value = convert_number(member.node.text) if isinstance(member.node, Scalar) else None
    if value is None or metric in RULE_KEYS or guess_key(metric, RULE_KEYS):
        return ""
    return f"{{metric: {metric}, min: {value:.10g}}}"


def read_gate(node: Node, problems: list[Problem]) -> tuple[Rule, ...]:
    """Read the thresholds: each has exactly one limit, and at most one is primary."""
    if not isinstance(node, ListNode | InvalidNode):
        message = f"gate must be a list, not {describe_node(node)}. {_suggest_rules(node)}"
        problems.append(Problem(message=message, where=node.where))
        return ()
    entries = read_entries("gate", node, problems)
    rules = tuple(rule for item in entries if (rule := _read_rule(item, problems)) is not None)
    primary = [rule for rule in rules if rule.primary]
    for rule in primary[1:]:
        message = (
            f"gate: a second rule is primary; the first is in line {primary[0].where.line}. Only one "
            f"can keep its whole alpha."
        )
        problems.append(Problem(message=message, where=rule.where))
    return rules


def _read_rule(node: Node, problems: list[Problem]) -> Rule | None:
    example = _write_short_rule(node)
    if example:
        message = f"gate: a threshold names its metric and its limit. Write `{example}`."
        problems.append(Problem(message=message, where=node.where))
        return None
    fields = read_mapping(node, "gate", RULE_KEYS, problems)
    if fields is None:
        return None
    given = drop_none({**fields.read_all(), "must_pass": _read_must_pass(fields)})
    estimand = given.get("estimand", "suite")
    if estimand != "suite" and given.get("stat") in ("p50", "p95", "p99"):
        fields.report_problem(
            f"estimand: {estimand} is about single cases, but {given['stat']} is over all trials together. "
            f"Use stat: mean or rate.",
            fields.get("estimand"),
        )
        return None
    if estimand == "traffic" and given.get("test") == "point":
        message = "estimand: traffic is decided by a test. Remove test: point."
        fields.report_problem(message, fields.get("test"))
        return None
    return Rule(where=node.where, **given) if _check_limits(fields) else None


def _read_must_pass(fields: FieldReader) -> tuple[str, ...] | None:
    node = fields.get("must_pass")
    if isinstance(node, Scalar) and node.text == "all":
        return ()
    if isinstance(node, Scalar):
        fields.report_problem(
            f"must_pass must be `all` or a list of tags, not {quote_short(node.text)}.", node
        )
        return None
    tags = fields.labels("must_pass")
    if tags == ():
        fields.report_problem("must_pass names no tag. Write `all` for every case.", node)
        return None
    return tags


def _check_limits(fields: FieldReader) -> bool:
    """Return whether the rule has one limit; report what is wrong with it or conflicts with it."""
    keys = [key for key in fields.node.members if key in RULE_KEYS]
    limits = [key for key in keys if key in (*METRIC_LIMITS, *CASE_LIMITS)]
    if len(limits) != 1:
        if limits:
            fields.report_problem(f"has both {limits[0]} and {limits[1]}. Make two rules of it.")
        elif keys == list(fields.node.members):
            choices = ", ".join((*METRIC_LIMITS, *CASE_LIMITS))
            fields.report_problem(
                f"a rule without a limit lets everything pass. Add one of {choices}."
            )
        return False
    limit = limits[0]
    entry = fields.node.members[limit].node
    if fields.get(limit) is None and not isinstance(entry, InvalidNode):
        fields.report_problem(f"{limit} is empty. Give it a value.", entry)
    # Problems that can occur together are all reported; only the number of limits ends the check.
    if limit in METRIC_LIMITS and fields.get("metric") is None:
        fields.report_problem(f"{limit} is the limit of a metric. Add `metric:`.")
    if limit in ("min", "max") and (extra := [key for key in COMPARISON_KEYS if key in keys]):
        fields.report_problem(
            f"{extra[0]} belongs to max_drop or max_rise. Remove it.", fields.get(extra[0])
        )
    if limit in CASE_LIMITS and len(keys) > 1:
        others = ", ".join(key for key in keys if key != limit)
        fields.report_problem(f"{limit} takes no other keys. Remove {others}.")
    return True


def explain_pairwise_misuse(rule: Rule) -> str:
    """Return what a rule asks of a pairwise metric that it does not have; empty if the rule fits."""
    if rule.max_rise is not None or rule.max is not None:
        return "it is better when it is higher. Use max_drop, or min"
    if rule.stat != "mean":
        return f"it has no {rule.stat}: a pair is won, tied, or lost. Remove stat"
    if rule.max_drop is not None and rule.test != "exact":
        return "it is compared by an exact test. Remove test"
    if rule.estimand == "traffic":
        return "its cases cannot be weighed by traffic. Use estimand: users"
    if rule.and_at_least is not None:
        return "and_at_least is for metrics with a unit. Use max_drop alone"
    return ""


def add_call_metrics(
    metrics: Sequence[MetricSpec], gate: Sequence[Rule], problems: list[Problem]
) -> tuple[tuple[MetricSpec, ...], tuple[Rule, ...]]:
    """Give every rule with `tool` or `model` a metric of its own, named `metric[tool]`.

    It is the set's metric of that name with one more argument. Later stages need not know about tools
    and models.
    """
    known = {spec.name: spec for spec in metrics}
    rules = []
    for rule in gate:
        narrowed = drop_none({"tool": rule.tool, "model": rule.model})
        spec = known.get(rule.metric)
        if narrowed and spec is None:
            message = (
                f"gate: {' and '.join(narrowed)} narrows a metric that the set lists, but "
                f"{rule.metric!r} is not one. Listed: {', '.join(known) or 'none'}."
            )
            problems.append(Problem(message=message, where=rule.where))
        elif narrowed and spec is not None:
            name = f"{rule.metric}[{', '.join(narrowed.values())}]"
            args = {**spec.args, **narrowed}
            known.setdefault(name, replace(spec, name=name, args=args, where=rule.where))
            rules.append(replace(rule, metric=name))
        else:
            rules.append(rule)
    return tuple(known.values()), tuple(rules)
