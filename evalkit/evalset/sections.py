"""What an eval set says about agent, metrics, gate and settings, turned from nodes into records."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from evalkit.core.eval_set import AgentSpec, MetricSpec, Rule
from evalkit.core.literals import Json, Stat
from evalkit.core.location import Problem
from evalkit.evalset.fields import FieldReader, read_mapping, suggest_similar
from evalkit.evalset.nodes import (
    InvalidNode,
    ListNode,
    MappingNode,
    Member,
    Node,
    Scalar,
    describe_node,
    is_null,
    quote_short,
    to_plain_value,
)

AGENT_KINDS = ("python", "command", "http", "openai", "recorded")
AGENT_KEYS = (*AGENT_KINDS, "version", "timeout_s", "attempts", "env")
METRIC_KEYS = ("name", "tags")
"""Beside the one key that says which metric it is."""

CRITERIA = "criteria"
"""The key under which a case says what it demands beyond its set, and the metric that it becomes."""

METRIC_LIMITS = ("min", "max", "max_drop", "max_rise")
CASE_LIMITS = ("max_regressed", "must_pass", "broken_cases")
RULE_KEYS = (
    "metric",
    *METRIC_LIMITS,
    "stat",
    "tag",
    "tool",
    "model",
    "and_at_least",
    "margin",
    "alpha",
    "estimand",
    "test",
    "primary",
    *CASE_LIMITS,
)
_COMPARISON_KEYS = ("and_at_least", "estimand")
"""Keys of rules that compare a metric with the baseline."""
SHORTHAND = ""
"""The argument that keeps what stands in place of a mapping, as in `python: module:function`."""

MAX_COUNT = 1_000_000
"""Of trials, calls at once and errors: what is more is a slip of the keyboard."""

MAX_ENTRIES = 1_000
"""Of metrics, and of rules."""

_STATS: tuple[Stat, ...] = ("mean", "rate", "p50", "p95", "p99")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def drop_none(given: Mapping[str, Json]) -> dict[str, Json]:
    """What is not None, so that a record's own defaults hold for the rest."""
    return {name: value for name, value in given.items() if value is not None}


def read_entries(key: str, node: Node, problems: list[Problem]) -> tuple[Node, ...]:
    """The items of a list of metrics or rules."""
    if isinstance(node, ListNode) and len(node.items) <= MAX_ENTRIES:
        return node.items
    if isinstance(node, ListNode):
        message = f"{key} has {len(node.items):,} items; at most {MAX_ENTRIES:,} are allowed."
    else:
        message = f"{key} must be a list, not {describe_node(node)}. Begin each item with '- '."
    problems.append(Problem(message=message, where=node.where))
    return ()


def read_args(node: Node) -> dict[str, Json]:
    """Arguments as they are written; what stands in place of a mapping is under SHORTHAND."""
    if isinstance(node, MappingNode):
        return {key: to_plain_value(member.node) for key, member in node.members.items()}
    return (
        {} if is_null(node) or isinstance(node, InvalidNode) else {SHORTHAND: to_plain_value(node)}
    )


def _read_variable_names(fields: FieldReader) -> tuple[str, ...] | None:
    names = fields.labels("env")
    for name in names or ():
        if not _VARIABLE_NAME.fullmatch(name):
            fields.report_problem(
                f"env lists names of environment variables, and {quote_short(name)} is none. "
                f"Set its value outside of this file.",
                fields.get("env"),
            )
    return names


def read_agent(node: Node, problems: list[Problem]) -> AgentSpec | None:
    """The agent; None when nothing says how it is reached."""
    fields = read_mapping(node, "agent", AGENT_KEYS, problems)
    if fields is None:
        return None
    given = {
        "version": fields.label("version"),
        "timeout_s": fields.number("timeout_s", above=0),
        "attempts": fields.integer("attempts", at_least=1, at_most=MAX_COUNT),
        "env": _read_variable_names(fields),
    }
    kinds = [key for key in fields.node.members if key in AGENT_KINDS]
    if len(kinds) != 1:
        if kinds:
            fields.report_problem(f"has both {kinds[0]} and {kinds[1]}. Keep one.")
        elif set(fields.node.members) <= set(AGENT_KEYS):
            fields.report_problem(
                f"nothing says how to reach it. Add one of {', '.join(AGENT_KINDS)}."
            )
        return None
    kind = kinds[0]
    entry = fields.node.members[kind].node
    if is_null(entry):
        fields.report_problem(f"{kind} is empty. Say what to run or call.", entry)
    return AgentSpec(kind=kind, args=read_args(entry), where=fields.node.where, **drop_none(given))


def _report_metric_refs(refs: list[str], fields: FieldReader) -> None:
    if not refs:
        fields.report_problem("a metric entry names no metric. Write {regex: ..., name: ...}.")
        return
    near = next(
        filter(None, (suggest_similar(ref, METRIC_KEYS) for ref in refs)), ". Begin each with '- '."
    )
    names = " and ".join(map(quote_short, refs[:4]))
    fields.report_problem(f"a metric entry names one metric, and {names} are several{near}")


def _build_metric_spec(
    ref: str, args: Mapping[str, Json], fields: FieldReader
) -> MetricSpec | None:
    name = ref.rpartition(":")[2]
    if ref == "rubric":
        # A rubric's scores go by its file, as in {metric: helpfulness}.
        name = Path(str(args.get(SHORTHAND) or args.get("file") or ref)).stem
    if not name:
        fields.report_problem(
            f"metric {quote_short(ref)} names nothing after the colon. Write FILE:FUNCTION."
        )
        return None
    if fields.get("name") is not None:
        name = fields.label("name") or ""
    if name == CRITERIA:
        fields.report_problem(
            "'criteria' is the metric that a case's own `criteria:` become. Write them on the case, or "
            "name this metric otherwise."
        )
        return None
    if not name:
        return None
    tags = fields.labels("tags") or ()
    return MetricSpec(ref=ref, name=name, args=args, tags=tags, where=fields.node.where)


def _read_metric(node: Node, owner: str, problems: list[Problem]) -> MetricSpec | None:
    where = node.where
    if isinstance(node, Scalar) and not is_null(node):
        no_args = Scalar(kind="null", text="", where=where)
        node = MappingNode(members={node.text: Member(where, no_args)}, where=where)
    if not isinstance(node, MappingNode):
        if not isinstance(node, InvalidNode):
            message = f"{owner}: a metric must be a name or a mapping, not {describe_node(node)}."
            problems.append(Problem(message=message, where=where))
        return None
    fields = FieldReader(owner=owner, node=node, problems=problems)
    refs = [key for key in node.members if key not in METRIC_KEYS]
    if len(refs) != 1:
        _report_metric_refs(refs, fields)
        return None
    ref = fields.check_label(refs[0], "metric", node)
    return (
        None if ref is None else _build_metric_spec(ref, read_args(node.members[ref].node), fields)
    )


def read_metrics(node: Node, owner: str, problems: list[Problem]) -> tuple[MetricSpec, ...]:
    """The metrics of an eval set or a case; whether they exist is not looked at."""
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


MIN_ALPHA = 1e-6
MAX_ALPHA = 0.5
"""At one half, every other unchanged agent would fail."""


def _read_alpha(fields: FieldReader) -> float | None:
    alpha = fields.number("alpha", above=0)
    if alpha is not None and not MIN_ALPHA <= alpha < MAX_ALPHA:
        fields.report_problem(
            f"alpha must be from {MIN_ALPHA:.6f} to below {MAX_ALPHA:g}, not {alpha:g}. "
            f"It is the chance that an unchanged agent fails.",
            fields.get("alpha"),
        )
        return None
    return alpha


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
    """Whether the rule has exactly one limit, and nothing beside it that would have no meaning."""
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
    if fields.get(limit) is None and not isinstance(fields.node.members[limit].node, InvalidNode):
        fields.report_problem(
            f"{limit} is empty. Give it a value.", fields.node.members[limit].node
        )
    if limit in METRIC_LIMITS and fields.get("metric") is None:
        fields.report_problem(f"{limit} is the limit of a metric. Add `metric:`.")
    if limit in ("min", "max") and (extra := [key for key in _COMPARISON_KEYS if key in keys]):
        fields.report_problem(
            f"{extra[0]} belongs to max_drop or max_rise. Remove it.", fields.get(extra[0])
        )
    if limit in CASE_LIMITS and len(keys) > 1:
        others = ", ".join(key for key in keys if key != limit)
        fields.report_problem(f"{limit} stands alone. Remove {others}.")
    return True


def _read_rule(node: Node, problems: list[Problem]) -> Rule | None:
    fields = read_mapping(node, "gate", RULE_KEYS, problems)
    if fields is None:
        return None
    given = {
        "metric": fields.label("metric"),
        "stat": fields.choice("stat", _STATS),
        "tag": fields.label("tag"),
        "tool": fields.label("tool"),
        "model": fields.label("model"),
        "min": fields.number("min"),
        "max": fields.number("max"),
        "max_drop": fields.number("max_drop", at_least=0),
        "max_rise": fields.number("max_rise", at_least=0),
        "margin": fields.number("margin", at_least=0),
        "alpha": _read_alpha(fields),
        "and_at_least": fields.number("and_at_least", above=0),
        "estimand": fields.choice("estimand", ("suite", "users")),
        "test": fields.choice("test", ("exact", "point")),
        "primary": fields.flag("primary"),
        "max_regressed": fields.integer("max_regressed", at_least=0, at_most=MAX_COUNT),
        "must_pass": _read_must_pass(fields),
        "broken_cases": fields.integer("broken_cases", at_least=0, at_most=MAX_COUNT),
    }
    if given["estimand"] == "users" and given["stat"] in ("p50", "p95", "p99"):
        fields.report_problem(
            f"estimand: users asks about single cases, and {given['stat']} is of all trials together. "
            f"Use stat: mean or rate.",
            fields.get("estimand"),
        )
        return None
    return Rule(where=node.where, **drop_none(given)) if _check_limits(fields) else None


def read_gate(node: Node, problems: list[Problem]) -> tuple[Rule, ...]:
    """The thresholds, each with exactly one limit, at most one of them primary."""
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


MAX_CONCURRENCY = 1000


def _read_trials(fields: FieldReader) -> int | Literal["auto"] | None:
    node = fields.get("trials")
    if isinstance(node, Scalar) and node.text == "auto":
        return "auto"
    return fields.integer("trials", at_least=1, at_most=MAX_COUNT)


def read_settings(fields: FieldReader) -> dict[str, Json]:
    """The fields of Settings that are given here."""
    return drop_none(
        {
            "trials": _read_trials(fields),
            "concurrency": fields.integer("concurrency", at_least=1, at_most=MAX_CONCURRENCY),
            "max_errors": fields.integer("max_errors", at_least=0, at_most=MAX_COUNT),
            "on_inconclusive": fields.choice("on_inconclusive", ("pass", "fail")),
            "on_judge_drift": fields.choice("on_judge_drift", ("warn", "fail")),
            "retry_deadline_s": fields.number("retry_deadline_s", at_least=0),
            "seed": fields.integer("seed"),
        }
    )
