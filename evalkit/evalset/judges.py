"""What an eval set says of its judges, turned from nodes into records."""

from __future__ import annotations

from dataclasses import replace

from evalkit.core.judgement import JudgeSpec
from evalkit.core.location import Problem
from evalkit.evalset.fields import FieldReader, read_mapping, suggest_similar
from evalkit.evalset.nodes import ListNode, Node, Scalar, is_null, quote_short
from evalkit.evalset.sections import MAX_COUNT, drop_none, read_args

JUDGE_KINDS = ("openai", "lexical")
JUDGE_KEYS = (
    *JUDGE_KINDS,
    "votes",
    "concurrency",
    "timeout_s",
    "attempts",
    "deadline_s",
    "max_cost_usd",
    "prices",
)
PRICE_KEYS = ("input", "output")
MAX_JUDGES = 5


def read_judges(node: Node, problems: list[Problem]) -> tuple[JudgeSpec, ...]:
    """The judges in the order in which they serve: the first, and those that stand in for it."""
    entries = node.items if isinstance(node, ListNode) else (node,)
    if not entries or len(entries) > MAX_JUDGES:
        message = f"judge: {len(entries)} judges; name one, or up to {MAX_JUDGES} in turn."
        problems.append(Problem(message=message, where=node.where))
        return (JudgeSpec(kind="lexical"),)
    found = [(item, _read_judge(item, problems)) for item in entries]
    judges = tuple(judge for _, judge in found if judge is not None)
    for item, judge in found[:-1]:
        if judge is not None and judge.kind == "lexical":
            message = (
                "judge: lexical is never down, so that what follows it never serves. Put it last."
            )
            problems.append(Problem(message=message, where=item.where))
    # Where none can be read that has been told, and no rubric is told that it lacks one.
    return judges or (JudgeSpec(kind="lexical"),)


def _read_judge(node: Node, problems: list[Problem]) -> JudgeSpec | None:
    if isinstance(node, Scalar) and not is_null(node):
        if node.text == "lexical":
            return JudgeSpec(kind="lexical", path=node.where.path, line=node.where.line)
        near = (
            suggest_similar(node.text, JUDGE_KINDS)
            or ". Write `judge: lexical` or `judge: {openai: ...}`."
        )
        if node.text == "openai":
            near = " needs a model. Write `judge: {openai: {model: gpt-4o-mini}}`."
        message = f"judge {quote_short(node.text)}{near if near.startswith(' ') else ' is unknown' + near}"
        problems.append(Problem(message=message, where=node.where))
        return None
    fields = read_mapping(node, "judge", JUDGE_KEYS, problems)
    if fields is None:
        return None
    kinds = [key for key in fields.node.members if key in JUDGE_KINDS]
    if len(kinds) != 1:
        if kinds:
            fields.report_problem(f"has both {kinds[0]} and {kinds[1]}. Make a list of them.")
        else:
            fields.report_problem(f"nothing says who judges. Add one of {', '.join(JUDGE_KINDS)}.")
        return None
    if kinds == ["lexical"] and len(fields.node.members) > 1:
        others = [key for key in fields.node.members if key in JUDGE_KEYS and key != "lexical"]
        if others:
            fields.report_problem(
                f"lexical asks nobody and always says the same. Remove {', '.join(others)}.",
                fields.node.members[others[0]].where,
            )
    given = {
        "votes": _read_votes(fields),
        "concurrency": fields.integer("concurrency", at_least=1, at_most=1000),
        "timeout_s": fields.number("timeout_s", above=0),
        "attempts": fields.integer("attempts", at_least=1, at_most=MAX_COUNT),
        "deadline_s": fields.number("deadline_s", at_least=0),
        "max_cost_usd": fields.number("max_cost_usd", above=0),
        "prices": _read_prices(fields),
    }
    args = read_args(fields.node.members[kinds[0]].node)
    spec = JudgeSpec(kind=kinds[0], args=args, path=node.where.path, line=node.where.line)
    return replace(spec, **drop_none(given))


def _read_votes(fields: FieldReader) -> int | None:
    votes = fields.integer("votes", at_least=1, at_most=99)
    if votes is not None and votes % 2 == 0:
        fields.report_problem(
            f"votes must be odd, so that there is a middle one, not {votes}.", fields.get("votes")
        )
        return None
    return votes


def _read_prices(fields: FieldReader) -> dict[str, float] | None:
    node = fields.get("prices")
    if node is None:
        return None
    prices = read_mapping(node, "prices", PRICE_KEYS, fields.problems)
    if prices is None:
        return None
    given = {key: prices.number(key, at_least=0) for key in PRICE_KEYS}
    for key, value in given.items():
        if value is None and key not in prices.node.members:
            prices.report_problem(f"{key} is missing: USD per million tokens of {key}.")
    return drop_none(given)
