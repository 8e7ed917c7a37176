"""Read the `judge:` section of an eval set."""

from __future__ import annotations

from evalkit.core.judgement import JudgeSpec
from evalkit.core.location import Problem
from evalkit.evalset.fields import FieldReader, drop_none, read_args, read_mapping
from evalkit.evalset.keys import JUDGE_KEYS, JUDGE_KINDS, MAX_JUDGES, NEEDED_PRICES, PRICE_KEYS
from evalkit.evalset.nodes import ListNode, Node, Scalar, is_null, quote_short, suggest_similar

EXAMPLE_MODELS = {"openai": "gpt-4o-mini", "anthropic": "claude-haiku-4-5"}
"""A model for messages, for each kind of judge that needs one."""


def read_judges(node: Node, problems: list[Problem]) -> tuple[JudgeSpec, ...]:
    """Read the judge, or the first judge and its fallbacks in order."""
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
        else:
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
        near = suggest_similar(node.text, JUDGE_KINDS)
        reason = f" is unknown{near or '. Write `judge: lexical` or `judge: {openai: ...}`.'}"
    message = f"judge {quote_short(node.text)}{reason}"
    problems.append(Problem(message=message, where=node.where))
    return None


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
