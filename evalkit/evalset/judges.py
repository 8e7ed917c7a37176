"""Read the `judge:` section of an eval set."""

from __future__ import annotations

from dataclasses import replace

from evalkit.core.format import format_count
from evalkit.core.judgement import JudgeSpec, JuryRule
from evalkit.core.location import Problem
from evalkit.evalset.fields import FieldReader, drop_none, read_args, read_mapping
from evalkit.evalset.keys import (
    JUDGE_KEYS,
    JUDGE_KINDS,
    JURY_KEYS,
    MAX_JUDGES,
    MAX_JURORS,
    NEEDED_PRICES,
    PRICE_KEYS,
)
from evalkit.evalset.nodes import (
    ListNode,
    MappingNode,
    Node,
    Scalar,
    is_null,
    quote_short,
    suggest_similar,
)

EXAMPLE_MODELS = {"openai": "gpt-4o-mini", "anthropic": "claude-haiku-4-5"}
"""A model for messages, for each kind of judge that needs one."""

DEFAULT_RULE: JuryRule = "majority"


def read_judges(node: Node, problems: list[Problem]) -> tuple[JudgeSpec, ...]:
    """Read the judge, the first judge and its fallbacks in order, or the members of a jury."""
    if isinstance(node, MappingNode) and "jury" in node.members:
        return _read_jury(node, problems)
    entries = node.items if isinstance(node, ListNode) else (node,)
    if not entries or len(entries) > MAX_JUDGES:
        message = f"judge: {len(entries)} judges; name one, or up to {MAX_JUDGES} in order."
        problems.append(Problem(message=message, where=node.where))
        return (JudgeSpec(kind="lexical"),)
    found = [(item, _read_judge(item, problems)) for item in entries]
    for item, judge in found[:-1]:
        if judge is not None and judge.kind == "lexical":
            message = (
                "judge: lexical never fails, so the judges after it are never used. Put it last."
            )
            problems.append(Problem(message=message, where=item.where))
    # With no readable judge, rubrics would report a second problem: that they have no judge.
    return tuple(judge for _, judge in found if judge is not None) or (JudgeSpec(kind="lexical"),)


def _read_jury(node: MappingNode, problems: list[Problem]) -> tuple[JudgeSpec, ...]:
    known = len(problems)
    fields = read_mapping(node, "judge", JURY_KEYS, problems)
    if fields is None:
        return (JudgeSpec(kind="lexical"),)
    rule = fields.read_all().get("rule") or DEFAULT_RULE
    items = fields.items("jury") or ()
    if not 2 <= len(items) <= MAX_JURORS and len(problems) == known:
        fields.report_problem(
            f"jury has {format_count(len(items), 'juror')}; name 2 to {MAX_JURORS}, "
            "each as a judge of its own."
        )
    found = [(item, _read_judge(item, problems)) for item in items]
    for position, (item, juror) in enumerate(found):
        before = [each for _, each in found[:position] if each and juror]
        if juror and any((each.kind, each.args) == (juror.kind, juror.args) for each in before):
            message = (
                "judge: jury: this juror is the same as one before it, so the two always agree. "
                "Name another model, or ask one judge several times with `votes: 3`."
            )
            problems.append(Problem(message=message, where=item.where))
    jurors = tuple(replace(juror, jury=rule) for _, juror in found if juror is not None)
    return jurors if len(problems) == known else (JudgeSpec(kind="lexical"),)


def _read_judge(node: Node, problems: list[Problem]) -> JudgeSpec | None:
    if isinstance(node, Scalar) and not is_null(node):
        return _read_judge_name(node, problems)
    fields = read_mapping(node, "judge", JUDGE_KEYS, problems)
    if fields is None:
        return None
    kinds = [key for key in fields.node.members if key in JUDGE_KINDS]
    if len(kinds) != 1:
        if kinds:
            fields.report_problem(f"has both {kinds[0]} and {kinds[1]}. Make a list of them.")
        # An unknown key, which was reported, is probably a misspelled kind or a model without one.
        elif fields.node.members.keys() <= JUDGE_KEYS.keys():
            fields.report_problem(f"no judge is named. Add one of {', '.join(JUDGE_KINDS)}.")
        return None
    others = [key for key in fields.node.members if key in JUDGE_KEYS and key != "lexical"]
    if kinds == ["lexical"] and others:
        fields.report_problem(
            f"lexical takes no options, as it calls no model. Remove {', '.join(others)}.",
            fields.node.members[others[0]].where,
        )
    return JudgeSpec(
        kind=kinds[0],
        args=read_args(fields.node.members[kinds[0]].node),
        path=node.where.path,
        line=node.where.line,
        **drop_none({**fields.read_all(), "prices": read_prices(fields)}),
    )


def _read_judge_name(node: Scalar, problems: list[Problem]) -> JudgeSpec | None:
    if node.text == "lexical":
        return JudgeSpec(kind="lexical", path=node.where.path, line=node.where.line)
    if node.text in JUDGE_KINDS:
        model = EXAMPLE_MODELS[node.text]
        reason = f" needs a model. Write `judge: {{{node.text}: {{model: {model}}}}}`."
    else:
        kind = _guess_kind(node.text)
        example = f"{{{kind}: {{model: {node.text}}}}}" if kind else "{openai: {model: ...}}"
        near = "" if kind else suggest_similar(node.text, JUDGE_KINDS)
        advice = f". Write `judge: {example}`" + ("." if kind else " or `judge: lexical`.")
        reason = f" is unknown{near or advice}"
    message = f"judge {quote_short(node.text)}{reason}"
    problems.append(Problem(message=message, where=node.where))
    return None


def _guess_kind(model: str) -> str:
    """Return the kind of judge that has a model of this name; empty if it is no known one."""
    beginnings = {"openai": ("gpt-", "o1", "o3", "o4"), "anthropic": ("claude-",)}
    return next((kind for kind, each in beginnings.items() if model.startswith(each)), "")


def read_prices(fields: FieldReader) -> dict[str, float] | None:
    """Read the prices of a judge's or an agent's tokens; None if there are none."""
    node = fields.get("prices")
    prices = node and read_mapping(node, "prices", PRICE_KEYS, fields.problems)
    if not prices:
        return None
    for key in NEEDED_PRICES:
        if key not in prices.node.members:
            prices.report_problem(f"{key} is missing: USD per million tokens of {key}.")
    return prices.read_all()
